#pragma once
#include <concepts>
#include <cstdint>

#include "x86/semantics/host_flags.h"

namespace vireo::x86 {

// Integer arithmetic: DEST := DEST op SRC, and the flags, both by the host's own instruction.
// SDM vol. 2, under each name. `kWrites` is false where only the flags are wanted.

#define VIREO_BINARY(Name, mnemonic, writes)          \
  struct Name {                                       \
    static constexpr bool kWrites = writes;           \
    template <std::unsigned_integral T>               \
    static T apply(T dst, T src, HostFlags& flags) {  \
      asm(mnemonic " %[src], %[dst]" VIREO_TAKE_FLAGS \
          : [dst] "+&r"(dst), [flags] "=&a"(flags.ax) \
          : [src] "r"(src)                            \
          : "cc");                                    \
      return dst;                                     \
    }                                                 \
  }
#define VIREO_BINARY_WITH_CARRY(Name, mnemonic)                         \
  struct Name {                                                         \
    static constexpr bool kWrites = true;                               \
    template <std::unsigned_integral T>                                 \
    static T apply(T dst, T src, HostFlags& flags) {                    \
      asm("bt $8, %%ax\n\t" mnemonic " %[src], %[dst]" VIREO_TAKE_FLAGS \
          : [dst] "+&r"(dst), [flags] "+&a"(flags.ax)                   \
          : [src] "r"(src)                                              \
          : "cc");                                                      \
      return dst;                                                       \
    }                                                                   \
  }

VIREO_BINARY(Add, "add", true);
VIREO_BINARY(Or, "or", true);
VIREO_BINARY(And, "and", true);
VIREO_BINARY(Sub, "sub", true);
VIREO_BINARY(Xor, "xor", true);
VIREO_BINARY(Cmp, "cmp", false);
VIREO_BINARY(Test, "test", false);
VIREO_BINARY_WITH_CARRY(Adc, "adc");
VIREO_BINARY_WITH_CARRY(Sbb, "sbb");

#define VIREO_UNARY(Name, mnemonic)                            \
  struct Name {                                                \
    template <std::unsigned_integral T>                        \
    static T apply(T dst, HostFlags& flags) {                  \
      asm(VIREO_LOAD_FLAGS mnemonic " %[dst]" VIREO_TAKE_FLAGS \
          : [dst] "+&r"(dst), [flags] "+&a"(flags.ax)          \
          :                                                    \
          : "cc");                                             \
      return dst;                                              \
    }                                                          \
  }

VIREO_UNARY(Inc, "inc");
VIREO_UNARY(Dec, "dec");
VIREO_UNARY(Neg, "neg");
VIREO_UNARY(Not, "not");

#undef VIREO_BINARY
#undef VIREO_BINARY_WITH_CARRY
#undef VIREO_UNARY

}  // namespace vireo::x86
