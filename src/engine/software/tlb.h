#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/address.h"

namespace vireo::engine {

/// One page that can be accessed without a walk. An access of `size` bytes at `linear` hits if
/// `linear - tag <= kPageSize - size`, unsigned: one comparison catches the wrong page, a missing
/// permission and an access that leaves the page.
struct TlbEntry {
  std::uint64_t read_tag;
  std::uint64_t write_tag;
  std::uint64_t delta;     ///< host address - linear address
  std::uint64_t physical;  ///< page address and the bits below

  static constexpr std::uint64_t kGlobal = 1;
  /// A write is allowed but must take the slow path: the page is watched or ROM.
  static constexpr std::uint64_t kWritableSlowly = 2;
  /// Part of a page of up to 4 MiB, or of 1 GiB, all of which becomes stale at once.
  static constexpr std::uint64_t kLarge = 4, kHuge = 8;
};

/// A direct-mapped translation cache for one kind of access (user, supervisor, ...). It holds only
/// pages of RAM and ROM; MMIO always misses.
class Tlb {
 public:
  static constexpr std::size_t kEntries = 1024;

  Tlb() { clear(); }

  TlbEntry& entry(std::uint64_t linear) {
    return entries_[(linear >> kPageShift) & (kEntries - 1)];
  }
  /// A tag that no address which maps to the entry can match: it names a neighbour's page.
  static std::uint64_t no_tag(std::uint64_t linear) { return (linear & ~kPageMask) ^ kPageSize; }

  void clear() {
    for (std::size_t i = 0; i < kEntries; ++i) invalidate(i);
    used_ = false;
    has_large_ = false;
  }
  void clear_non_global() {
    if (!used_) return;
    for (std::size_t i = 0; i < kEntries; ++i)
      if ((entries_[i].physical & TlbEntry::kGlobal) == 0) invalidate(i);
  }
  /// The page that holds the address, and all that is cached of a larger one.
  /// SDM vol. 3A, 4.10.2.3.
  void invalidate_page(std::uint64_t linear) {
    invalidate((linear >> kPageShift) & (kEntries - 1));
    if (!has_large_) return;
    for (std::size_t i = 0; i < kEntries; ++i) {
      const TlbEntry& entry = entries_[i];
      if ((entry.physical & (TlbEntry::kLarge | TlbEntry::kHuge)) == 0) continue;
      const unsigned shift = (entry.physical & TlbEntry::kHuge) ? 30 : 22;
      if ((entry.read_tag ^ linear) >> shift == 0) invalidate(i);
    }
  }
  /// Takes away the permission to write a physical page directly.
  void protect(PhysAddr page) {
    if (!used_) return;
    for (std::size_t i = 0; i < kEntries; ++i)
      if ((entries_[i].physical & ~kPageMask) == value(page)) {
        TlbEntry& entry = entries_[i];
        const std::uint64_t tag = no_tag(std::uint64_t{i} << kPageShift);
        if (entry.write_tag == entry.read_tag && entry.read_tag != tag)
          entry.physical |= TlbEntry::kWritableSlowly;
        entry.write_tag = tag;
      }
  }
  void mark_used() { used_ = true; }
  void mark_large() { has_large_ = true; }
  bool used() const { return used_; }

 private:
  void invalidate(std::size_t i) {
    const std::uint64_t tag = no_tag(std::uint64_t{i} << kPageShift);
    entries_[i] = {tag, tag, 0, ~kPageMask};
  }

  std::array<TlbEntry, kEntries> entries_;
  bool used_ = false;
  bool has_large_ = false;
};

}  // namespace vireo::engine
