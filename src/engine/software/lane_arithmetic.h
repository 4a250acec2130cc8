#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "x86/cpu_state.h"

namespace vireo::engine {

/// How the floating-point lanes of an instruction's result come from those of its operands, where
/// a result can be too large or too small for its format. Silicon says of such a result whether it
/// is inexact as if the exponent had no bounds. SDM vol. 1, 4.9.1.5 and 11.5.2.
struct LaneArithmetic {
  enum class Kind : std::uint8_t {
    kNone,
    kAdd,
    kHorizontalAdd,
    kMultiply,
    kDivide,
    kMultiplyAdd,  ///< source 0 * source 1 + source 2
    kNarrow,       ///< source 0 in a format of fewer bits
    kDotProduct,   ///< products of `selected` lanes, then their sums
  };
  static constexpr std::uint8_t kMemory = 0xff;

  Kind kind = Kind::kNone;
  std::uint8_t source_bits = 0, result_bits = 0;  ///< 64, 32, 16
  std::uint8_t lanes = 0;
  bool minus_even = false, minus_odd = false;  ///< the addend counts negative in these lanes
  std::array<std::uint8_t, 3> source{};        ///< vector registers, or kMemory
  std::uint8_t selected = 0xff;                ///< bit n: lane n is computed
};

/// Whether the precision exception comes with the other ones of this computation. `before` has the
/// operands and the guest's MXCSR; `memory` is the memory operand, if one is a source.
bool raises_precision(const LaneArithmetic& arithmetic, const x86::FpuState& before,
                      const std::byte* memory);

}  // namespace vireo::engine
