#include "engine/software/lane_arithmetic.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "x86/semantics/fpu_state.h"

namespace vireo::engine {
namespace {

/// 113 bits of significand and 15 of exponent: a product of two doubles is exact, and no result of
/// doubles comes near the bounds. The monitor's own code rounds to nearest.
using Quad = __float128;
using Bits = unsigned __int128;
using Kind = LaneArithmetic::Kind;

constexpr unsigned kQuadFractionBits = 112;

Quad magnitude(Quad value) { return value < 0 ? -value : value; }

/// How many bits a significand needs for the value.
unsigned significant_bits(Quad value) {
  Bits bits;
  std::memcpy(&bits, &value, sizeof bits);
  const Bits fraction = bits & ((Bits{1} << kQuadFractionBits) - 1);
  unsigned zeros = 0;
  while (zeros < kQuadFractionBits && ((fraction >> zeros) & 1) == 0) ++zeros;
  return kQuadFractionBits + 1 - zeros;
}

/// A result as the quad nearest to it. Not `exact` also means: not in any smaller format.
struct Result {
  Quad value = 0;
  bool exact = true;
};

Result sum(Quad a, Quad b) {
  const Quad value = a + b;
  const Quad of_b = value - a;
  const Quad error = (a - (value - of_b)) + (b - of_b);
  return {value, error == 0};
}

Result quotient(Quad a, Quad b) {
  const Quad value = a / b;
  // The quotient of two doubles has no more bits than a double, or no end.
  const bool exact = significant_bits(value) <= 53 && value * b == a;
  return {value, exact};
}

class Lanes {
 public:
  Lanes(const LaneArithmetic& arithmetic, const x86::FpuState& before, const std::byte* memory)
      : arithmetic_(arithmetic), before_(before), memory_(memory) {}

  bool lane_raises_precision(unsigned lane) const {
    std::array<double, 3> operand{};
    unsigned count = 2;
    if (arithmetic_.kind == Kind::kNarrow) count = 1;
    if (arithmetic_.kind == Kind::kMultiplyAdd) count = 3;
    for (unsigned i = 0; i < count; ++i) {
      operand[i] = read_operand(i, lane);
      if (!std::isfinite(operand[i])) return false;
    }
    if (arithmetic_.kind == Kind::kDivide && operand[1] == 0) return false;
    const Result result = compute(operand, lane);
    if (!result.exact || significant_bits(result.value) > precision()) return result.value != 0;
    return bounds_make_inexact(result.value);
  }

  /// Whether the product of finite numbers raises an unmasked overflow or underflow.
  bool product_is_out_of_range(unsigned lane) const {
    const double a = read_operand(0, lane), b = read_operand(1, lane);
    if (!std::isfinite(a) || !std::isfinite(b) || a == 0 || b == 0) return false;
    const Quad size = magnitude(Quad{a} * Quad{b});
    if (size < smallest_normal()) return !masked(x86::fp_exception::kUnderflow);
    const bool over = arithmetic_.result_bits == 64 ? std::isinf(static_cast<double>(size))
                                                    : std::isinf(static_cast<float>(size));
    return over && !masked(x86::fp_exception::kOverflow);
  }

 private:
  Quad smallest_normal() const {
    return arithmetic_.result_bits == 64 ? Quad{std::numeric_limits<double>::min()}
                                         : Quad{std::numeric_limits<float>::min()};
  }

  unsigned precision() const {
    return arithmetic_.result_bits == 64 ? 53 : arithmetic_.result_bits == 32 ? 24 : 11;
  }

  double read_operand(unsigned operand, unsigned lane) const {
    if (arithmetic_.kind != Kind::kHorizontalAdd) return read(arithmetic_.source[operand], lane);
    // Each half of 16 bytes has the neighbours of the first source, then those of the second.
    const unsigned in_half = 128u / arithmetic_.source_bits, half = lane / in_half * in_half;
    const unsigned within = lane - half, pair = within * 2 % in_half;
    return read(arithmetic_.source[within * 2 / in_half], half + pair + operand);
  }

  double read(std::uint8_t source, unsigned lane) const {
    const std::size_t size = arithmetic_.source_bits / 8u, offset = lane * size;
    const std::byte* from =
        source == LaneArithmetic::kMemory ? memory_ + offset
        : offset < 16
            ? reinterpret_cast<const std::byte*>(&before_.xmm[source & 15]) + offset
            : reinterpret_cast<const std::byte*>(&before_.ymm_high[source & 15]) + offset - 16;
    return size == 8 ? decode<double>(from) : static_cast<double>(decode<float>(from));
  }

  template <class T>
  T decode(const std::byte* from) const {
    T value;
    std::memcpy(&value, from, sizeof value);
    const bool denormal = std::fpclassify(value) == FP_SUBNORMAL;
    return denormal && (before_.mxcsr & x86::mxcsr::kDaz) ? T{0} : value;
  }

  Result compute(const std::array<double, 3>& operand, unsigned lane) const {
    const bool minus = (lane % 2 == 0) ? arithmetic_.minus_even : arithmetic_.minus_odd;
    const Quad a = operand[0], b = operand[1], c = operand[2];
    switch (arithmetic_.kind) {
      case Kind::kAdd:
      case Kind::kHorizontalAdd:
        return sum(a, minus ? -b : b);
      case Kind::kMultiply:
      case Kind::kDotProduct:
        return {a * b};
      case Kind::kDivide:
        return quotient(a, b);
      case Kind::kMultiplyAdd:
        return sum(a * b, minus ? -c : c);
      default:
        return {a};
    }
  }

  bool masked(unsigned exception) const {
    return (before_.mxcsr >> x86::mxcsr::kMaskShift) & exception;
  }

  /// Of a value that the significand can hold: a masked overflow is inexact, a masked underflow if
  /// bits are lost.
  bool bounds_make_inexact(Quad value) const {
    if (arithmetic_.result_bits == 16) return half_is_inexact(value);
    const bool wide = arithmetic_.result_bits == 64;
    const bool fits =
        wide ? Quad{static_cast<double>(value)} == value : Quad{static_cast<float>(value)} == value;
    if (magnitude(value) >= smallest_normal()) return !fits && masked(x86::fp_exception::kOverflow);
    if (value == 0 || !masked(x86::fp_exception::kUnderflow)) return false;
    return !fits || (before_.mxcsr & x86::mxcsr::kFlushToZero) != 0;
  }

  /// The largest half is 65504 and the smallest 2^-24; flushing to zero is not for them.
  bool half_is_inexact(Quad value) const {
    // Silicon calls the conversion of any denormal number inexact.
    if (value != 0 && magnitude(value) < Quad{std::numeric_limits<float>::min()}) return true;
    constexpr double kLargest = 65504, kSmallestNormal = 0x1p-14, kUnits = 0x1p24;
    if (magnitude(value) > kLargest) return masked(x86::fp_exception::kOverflow);
    if (magnitude(value) >= kSmallestNormal) return false;
    const double units = static_cast<double>(value * kUnits);
    return std::trunc(units) != units && masked(x86::fp_exception::kUnderflow);
  }

  const LaneArithmetic& arithmetic_;
  const x86::FpuState& before_;
  const std::byte* memory_;
};

}  // namespace

bool raises_precision(const LaneArithmetic& arithmetic, const x86::FpuState& before,
                      const std::byte* memory) {
  const Lanes lanes(arithmetic, before, memory);
  const bool dot_product = arithmetic.kind == Kind::kDotProduct;
  bool precision = false, out_of_range = false;
  for (unsigned lane = 0; lane < arithmetic.lanes; ++lane) {
    if (((arithmetic.selected >> lane) & 1) == 0) continue;
    precision |= lanes.lane_raises_precision(lane);
    out_of_range |= dot_product && lanes.product_is_out_of_range(lane);
  }
  // The sums of a dot product are not begun if a product raises an exception.
  return precision || (dot_product && !out_of_range);
}

}  // namespace vireo::engine
