#pragma once
#include <climits>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "x86/semantics/host_flags.h"

namespace vireo::x86 {

// Multiplication and division of the accumulator pair (low, high): AL and AH, AX and DX, EAX and
// EDX, RAX and RDX. SDM vol. 2, MUL, IMUL, DIV, IDIV.

#define VIREO_MULTIPLY(Name, mnemonic)                                              \
  struct Name {                                                                     \
    template <std::unsigned_integral T>                                             \
    static void apply(T& low, T& high, T factor, HostFlags& flags) {                \
      std::uint8_t of;                                                              \
      std::uint16_t ax;                                                             \
      if constexpr (sizeof(T) == 1) {                                               \
        std::uint16_t product = low;                                                \
        asm(mnemonic "b %[factor]\n\tseto %[of]\n\tmov %%ax, %[product]\n\tlahf"    \
            : [product] "=&r"(product), [of] "=&r"(of), "=&a"(ax)                   \
            : [factor] "r"(factor), "2"(product)                                    \
            : "cc");                                                                \
        low = static_cast<T>(product);                                              \
        high = static_cast<T>(product >> 8);                                        \
      } else {                                                                      \
        T result = low;                                                             \
        asm(mnemonic " %[factor]\n\tseto %[of]\n\tmov %[acc], %[result]\n\tlahf"    \
            : [result] "=&r"(result), [of] "=&r"(of), [acc] "+&a"(low), "=&d"(high) \
            : [factor] "r"(factor)                                                  \
            : "cc");                                                                \
        ax = static_cast<std::uint16_t>(low);                                       \
        low = result;                                                               \
      }                                                                             \
      flags.ax = static_cast<std::uint16_t>((ax & 0xff00) | of);                    \
    }                                                                               \
  }

VIREO_MULTIPLY(Mul, "mul");
VIREO_MULTIPLY(Imul, "imul");
#undef VIREO_MULTIPLY

/// IMUL with two or three operands: the low half of the product.
struct ImulTruncated {
  template <std::unsigned_integral T>
  static T apply(T dst, T src, HostFlags& flags) {
    asm("imul %[src], %[dst]" VIREO_TAKE_FLAGS
        : [dst] "+&r"(dst), [flags] "=&a"(flags.ax)
        : [src] "r"(src)
        : "cc");
    return dst;
  }
};

template <class T>
struct DoubleWidth;
template <>
struct DoubleWidth<std::uint8_t> {
  using type = std::uint16_t;
};
template <>
struct DoubleWidth<std::uint16_t> {
  using type = std::uint32_t;
};
template <>
struct DoubleWidth<std::uint32_t> {
  using type = std::uint64_t;
};
template <>
struct DoubleWidth<std::uint64_t> {
  using type = unsigned __int128;
};

/// Answers false for #DE; then nothing has changed. The flags, undefined after a division, stay as
/// they were: so does the host leave them.
struct Div {
  template <std::unsigned_integral T>
  static bool apply(T& low, T& high, T divisor) {
    using Wide = typename DoubleWidth<T>::type;
    if (high >= divisor) return false;  // zero, or a quotient that does not fit
    if constexpr (sizeof(T) == 8) {
      asm("divq %[divisor]" : "+a"(low), "+d"(high) : [divisor] "r"(divisor) : "cc");
    } else {
      const Wide dividend =
          static_cast<Wide>(static_cast<Wide>(high) << (sizeof(T) * CHAR_BIT) | low);
      low = static_cast<T>(dividend / divisor);
      high = static_cast<T>(dividend % divisor);
    }
    return true;
  }
};

struct Idiv {
  template <std::unsigned_integral T>
  static bool apply(T& low, T& high, T divisor) {
    constexpr unsigned kBits = sizeof(T) * CHAR_BIT;
    const bool negative_dividend = (high >> (kBits - 1)) != 0;
    const bool negative_divisor = (divisor >> (kBits - 1)) != 0;
    T abs_low = low, abs_high = high;
    if (negative_dividend) {
      abs_low = static_cast<T>(0 - low);
      abs_high = static_cast<T>(~high + (low == 0 ? 1 : 0));
    }
    const T abs_divisor = negative_divisor ? static_cast<T>(0 - divisor) : divisor;
    if (!Div::apply(abs_low, abs_high, abs_divisor)) return false;
    const bool negative = negative_dividend != negative_divisor;
    const T limit = static_cast<T>(T{1} << (kBits - 1));
    if (abs_low > limit || (abs_low == limit && !negative)) return false;
    low = negative ? static_cast<T>(0 - abs_low) : abs_low;
    high = negative_dividend ? static_cast<T>(0 - abs_high) : abs_high;
    return true;
  }
};

}  // namespace vireo::x86
