#pragma once
#include <cstddef>
#include <cstdint>

#include "x86/paging/page_table_entry.h"
#include "x86/paging/page_walk.h"

namespace vireo::x86 {

/// walk_pages() for a data access as it nearly always is: 4- or 5-level paging, tables in memory,
/// every entry present, without reserved bits and marked as accessed, a written page as dirty.
/// False: only walk_pages() can tell. Changes no memory and does not judge permissions.
///
/// `host_of` answers with the host address of the guest page that holds an address, or null. All is
/// inlined, so that code which must not touch vector registers can use it.
template <class HostOf>
[[gnu::always_inline]] inline bool quick_walk(const PagingMode& mode, std::uint64_t linear,
                                              bool write, HostOf host_of, Translation& result) {
  constexpr unsigned kTop = 39, kHuge = 30, kSmall = 12;
  if (mode.kind < PagingMode::Kind::k4Level) return false;
  const std::uint64_t reserved = pte::above(mode.physical_address_bits, 51) |
                                 (mode.execute_disable ? 0 : pte::kExecuteDisable);
  std::uint64_t table = mode.cr3 & pte::kAddress, in_all = ~0ull, in_any = 0, entry = 0;
  unsigned shift = mode.kind == PagingMode::Kind::k5Level ? kTop + 9 : kTop;
  for (;; shift -= 9) {
    const std::byte* host = host_of(PhysAddr{table});
    if (host == nullptr) return false;
    // SAFETY: naturally aligned and inside the page; other CPUs may write it meanwhile.
    entry =
        __atomic_load_n(reinterpret_cast<const std::uint64_t*>(host) + ((linear >> shift) & 0x1ff),
                        __ATOMIC_RELAXED);
    constexpr std::uint64_t kUsed = pte::kPresent | pte::kAccessed;
    if ((entry & kUsed) != kUsed || (entry & reserved) != 0) return false;
    in_all &= entry;
    in_any |= entry;
    if (shift == kSmall) break;
    if ((entry & pte::kPageSize) != 0) {
      if (shift > kHuge || (shift == kHuge && !mode.huge_pages)) return false;
      if ((entry & pte::range(kSmall + 1, shift - 1)) != 0) return false;
      break;
    }
    table = entry & pte::kAddress;
  }
  if (!mode.attributes || (write && (entry & pte::kDirty) == 0)) return false;
  const std::uint64_t inside = (1ull << shift) - (1ull << kSmall);
  result.page = PhysAddr{(entry & pte::kAddress & ~inside) | (linear & inside)};
  result.page_shift = static_cast<std::uint8_t>(shift);
  result.global = mode.global_pages && (entry & pte::kGlobal) != 0;
  result.rights.user = (in_all & pte::kUser) != 0;
  result.rights.writable = (in_all & pte::kWritable) != 0;
  result.rights.executable = (in_any & pte::kExecuteDisable) == 0;
  result.rights.dirty = (entry & pte::kDirty) != 0;
  result.rights.protection_key = (entry >> pte::kProtectionKeyShift) & 0xf;
  return true;
}

}  // namespace vireo::x86
