#pragma once
#include <concepts>
#include <cstdint>

#include "x86/semantics/host_flags.h"

namespace vireo::x86 {

// Shifts and rotates by the host's own instruction. A count that is zero after masking leaves the
// flags alone, as the host does by itself. SDM vol. 2, SAL/SAR/SHL/SHR and RCL/RCR/ROL/ROR.

#define VIREO_SHIFT(Name, mnemonic)                                  \
  struct Name {                                                      \
    template <std::unsigned_integral T>                              \
    static T apply(T dst, std::uint8_t count, HostFlags& flags) {    \
      asm(VIREO_LOAD_FLAGS mnemonic " %%cl, %[dst]" VIREO_TAKE_FLAGS \
          : [dst] "+&r"(dst), [flags] "+&a"(flags.ax)                \
          : "c"(count)                                               \
          : "cc");                                                   \
      return dst;                                                    \
    }                                                                \
  }

VIREO_SHIFT(Rol, "rol");
VIREO_SHIFT(Ror, "ror");
VIREO_SHIFT(Rcl, "rcl");
VIREO_SHIFT(Rcr, "rcr");
VIREO_SHIFT(Shl, "shl");
VIREO_SHIFT(Shr, "shr");
VIREO_SHIFT(Sar, "sar");

/// A rotation of a register by an immediate: OF, undefined unless the count is one, stays as it was
/// on silicon, unlike with the count in CL or with a destination in memory.
template <class Rotate>
struct ByImmediate {
  template <std::unsigned_integral T>
  static T apply(T dst, std::uint8_t count, HostFlags& flags) {
    const unsigned of = flags.ax & HostFlags::kOf;
    const T result = Rotate::apply(dst, count, flags);
    if ((count & (sizeof(T) == 8 ? 63 : 31)) > 1)
      flags.ax = static_cast<std::uint16_t>((flags.ax & ~HostFlags::kOf) | of);
    return result;
  }
};

#define VIREO_DOUBLE_SHIFT(Name, mnemonic)                                   \
  struct Name {                                                              \
    template <std::unsigned_integral T>                                      \
    static T apply(T dst, T src, std::uint8_t count, HostFlags& flags) {     \
      asm(VIREO_LOAD_FLAGS mnemonic " %%cl, %[src], %[dst]" VIREO_TAKE_FLAGS \
          : [dst] "+&r"(dst), [flags] "+&a"(flags.ax)                        \
          : [src] "r"(src), "c"(count)                                       \
          : "cc");                                                           \
      return dst;                                                            \
    }                                                                        \
  }

VIREO_DOUBLE_SHIFT(Shld, "shld");
VIREO_DOUBLE_SHIFT(Shrd, "shrd");

#undef VIREO_SHIFT
#undef VIREO_DOUBLE_SHIFT

}  // namespace vireo::x86
