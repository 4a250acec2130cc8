#pragma once
#include <cstdint>

namespace vireo::x86 {

// Bits of paging-structure entries that all formats share. SDM vol. 3A, tables 4-5 to 4-20.
namespace pte {
inline constexpr std::uint64_t kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2,
                               kAccessed = 1u << 5, kDirty = 1u << 6, kPageSize = 1u << 7,
                               kGlobal = 1u << 8, kExecuteDisable = 1ull << 63;
inline constexpr unsigned kProtectionKeyShift = 59;

/// Bits 51:12 of a 64-bit entry: where the next table or the page is.
inline constexpr std::uint64_t kAddress = 0x000f'ffff'ffff'f000;

/// The bits from the first that a physical address of `bits` bits does not have up to bit `last`.
constexpr std::uint64_t above(unsigned bits, unsigned last) {
  const std::uint64_t up_to_last = last >= 63 ? ~0ull : (1ull << (last + 1)) - 1;
  return bits > last ? 0 : up_to_last & ~((1ull << bits) - 1);
}
/// Bits `first` to `last`, both included.
constexpr std::uint64_t range(unsigned first, unsigned last) { return above(first, last); }
}  // namespace pte

/// Bits of the error code of a page fault. SDM vol. 3A, 4.7.
namespace page_fault {
inline constexpr std::uint32_t kProtection = 1u << 0, kWrite = 1u << 1, kUser = 1u << 2,
                               kReserved = 1u << 3, kFetch = 1u << 4, kProtectionKey = 1u << 5;
}

}  // namespace vireo::x86
