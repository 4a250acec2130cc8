#pragma once
#include <concepts>
#include <cstdint>

#include "x86/semantics/host_flags.h"

namespace vireo::x86 {

// Bit tests on a word and bit scans, by the host's own instruction. SDM vol. 2, BT, BSF, TZCNT, ...

#define VIREO_BIT_TEST(Name, mnemonic)                                    \
  struct Name {                                                           \
    template <std::unsigned_integral T>                                   \
    static T apply(T word, T index, HostFlags& flags) {                   \
      index = static_cast<T>(index % (sizeof(T) * 8));                    \
      asm(VIREO_LOAD_FLAGS mnemonic " %[index], %[word]" VIREO_TAKE_FLAGS \
          : [word] "+&r"(word), [flags] "+&a"(flags.ax)                   \
          : [index] "r"(index)                                            \
          : "cc");                                                        \
      return word;                                                        \
    }                                                                     \
  }
VIREO_BIT_TEST(Bt, "bt");
VIREO_BIT_TEST(Bts, "bts");
VIREO_BIT_TEST(Btr, "btr");
VIREO_BIT_TEST(Btc, "btc");
#undef VIREO_BIT_TEST

/// DEST keeps its value where the host keeps it: BSF and BSR of zero.
#define VIREO_BIT_SCAN(Name, mnemonic)                                 \
  struct Name {                                                        \
    template <std::unsigned_integral T>                                \
    static T apply(T dst, T src, HostFlags& flags) {                   \
      asm(VIREO_LOAD_FLAGS mnemonic " %[src], %[dst]" VIREO_TAKE_FLAGS \
          : [dst] "+&r"(dst), [flags] "+&a"(flags.ax)                  \
          : [src] "r"(src)                                             \
          : "cc");                                                     \
      return dst;                                                      \
    }                                                                  \
  }
VIREO_BIT_SCAN(Bsf, "bsf");
VIREO_BIT_SCAN(Bsr, "bsr");
// These run only where the guest has the feature, and it has it only where the host does.
VIREO_BIT_SCAN(Tzcnt, "tzcnt");
VIREO_BIT_SCAN(Lzcnt, "lzcnt");
VIREO_BIT_SCAN(Popcnt, "popcnt");
#undef VIREO_BIT_SCAN

}  // namespace vireo::x86
