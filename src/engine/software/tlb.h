#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/address.h"
#include "engine/software/page_filter.h"
#include "engine/software/zeroed.h"

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
  /// Of the page that it is part of, as a PageFilter tells sizes apart.
  unsigned shift() const {
    return (physical & kHuge)    ? PageFilter::kHuge
           : (physical & kLarge) ? PageFilter::kLarge
                                 : PageFilter::kSmall;
  }
};

/// A direct-mapped translation cache for one kind of access (user, supervisor, ...). It holds only
/// pages of RAM and ROM; MMIO always misses. What a flush costs depends on what is there.
class alignas(64) Tlb : public Zeroed {
 public:
  /// A page has a slot by its number, and others a little further on by a salt. Code whose accesses
  /// fight for slots, because a large power of two lies between what they walk through, takes the
  /// salt from the base register.
  static constexpr std::size_t kEntries = 65536, kSalts = 8, kSaltStride = 509, kSlots = 69632;
  static_assert(kEntries + (kSalts - 1) * kSaltStride <= kSlots);

  Tlb() {
    // Zero is the tag of the first page, which these slots must not have; elsewhere nothing
    // matches.
    for (std::size_t salt = 0; salt < kSalts; ++salt) invalidate(salt * kSaltStride);
  }

  /// To look things up. Entries are made by fill() only.
  TlbEntry& entry(std::uint64_t linear) { return entries_[slot(linear)]; }
  const TlbEntry& entry(std::uint64_t linear) const { return entries_[slot(linear)]; }
  /// A tag that no address which maps to the entry can match: it names a neighbour's page.
  static std::uint64_t no_tag(std::uint64_t linear) { return (linear & ~kPageMask) ^ kPageSize; }

  [[gnu::always_inline]] void fill(std::uint64_t linear, const TlbEntry& entry) {
    const std::size_t i = slot(linear);
    const std::uint64_t held = entries_[i].read_tag;
    if ((held ^ linear) >> kPageShift != 0) evicted_[i] = page_number(held);
    entries_[i] = entry;
    note_used(i);
    note_writer(i);
  }
  /// The page of the address, which has an entry, may be written from now on.
  void allow_writes(std::uint64_t linear) {
    TlbEntry& entry = entries_[slot(linear)];
    entry.write_tag = linear & ~kPageMask;
    entry.physical &= ~TlbEntry::kWritableSlowly;
    note_writer(slot(linear));
  }
  /// The page was in its slot before the one that is there now.
  bool comes_back(std::uint64_t linear) const {
    return evicted_[slot(linear)] == page_number(linear);
  }

  /// The entry of the address, for those who look with a salt.
  [[gnu::always_inline]] void copy_to(std::uint64_t linear, std::size_t salt) {
    const std::size_t i = slot(linear) + salt * kSaltStride;
    if (salt == 0) return;
    entries_[i] = entries_[slot(linear)];
    note_used(i);
    note_writer(i);
  }

  void clear() {
    clear_of(global_);
    clear_of(local_);
    large_.clear();
  }
  /// Large pages of global entries stay noted, and of the others too: that costs only time.
  void clear_non_global() { clear_of(local_); }
  /// The same, once `action(place, entry)` has seen each of them.
  template <class Action>
  void take_non_global(Action action) {
    for_each(local_, [&](std::size_t i) {
      const TlbEntry& entry = entries_[i];
      const bool valid = (entry.read_tag ^ no_tag(std::uint64_t{i} << kPageShift)) != 0;
      if (valid && (entry.physical & TlbEntry::kGlobal) == 0) action(i, entry);
    });
    clear_of(local_);
  }
  /// An entry that take_non_global() took, at its place, unless there is another.
  void put_back(std::size_t place, const TlbEntry& entry) {
    if (used(place)) return;
    entries_[place] = entry;
    note_used(place);
    note_writer(place);
  }
  /// The page that holds the address, and all that is cached of a larger one.
  /// SDM vol. 3A, 4.10.2.3.
  void invalidate_page(std::uint64_t linear) {
    const std::uint64_t page = linear & ~kPageMask;
    for (std::size_t salt = 0; salt < kSalts; ++salt) {
      const std::size_t i = slot(linear) + salt * kSaltStride;
      if (used(i) && (entries_[i].read_tag == page || entries_[i].write_tag == page)) invalidate(i);
    }
    if (!large_.may_hold(linear)) return;
    for_each_used([&](std::size_t i) {
      const TlbEntry& entry = entries_[i];
      if ((entry.physical & (TlbEntry::kLarge | TlbEntry::kHuge)) == 0) return;
      if ((linear_of(i) ^ linear) >> entry.shift() == 0) invalidate(i);
    });
  }
  /// Takes away the permission to write a physical page directly.
  void protect(PhysAddr page) {
    std::uint32_t& writer = writers_[writer_slot(value(page))];
    std::uint32_t left = kNobody;
    const auto protect_entry = [&](std::size_t i) {
      if ((entries_[i].physical & ~kPageMask) == value(page)) take_write_permission(i);
      if (!may_write_at(i, value(page))) return;
      left = left == kNobody || left == i + 1 ? static_cast<std::uint32_t>(i + 1) : kSeveral;
    };
    if (writer == kSeveral)
      for_each_used(protect_entry);
    else if (writer != kNobody)
      protect_entry(writer - 1);
    writer = left;
  }

 private:
  static std::uint32_t page_number(std::uint64_t linear) {
    return static_cast<std::uint32_t>(linear >> kPageShift);
  }
  static std::size_t slot(std::uint64_t linear) { return (linear >> kPageShift) & (kEntries - 1); }
  /// Right but for the bits below a large page's, whatever the permissions.
  std::uint64_t linear_of(std::size_t i) const { return entries_[i].read_tag; }
  template <class Action>
  static void for_each_bit(std::uint64_t bits, Action action) {
    for (; bits != 0; bits &= bits - 1) action(static_cast<std::size_t>(std::countr_zero(bits)));
  }
  /// The entries that may be valid.
  struct Used {
    std::array<std::uint64_t, kSlots / 64> bits{};
    std::array<std::uint64_t, kSlots / 4096> words{};  ///< a bit for each of `bits` that is not 0
  };
  template <class Action>
  static void for_each_word(const Used& used, Action action) {
    for (std::size_t group = 0; group < used.words.size(); ++group)
      for_each_bit(used.words[group], [&](std::size_t bit) { action(group * 64 + bit); });
  }
  template <class Action>
  static void for_each(const Used& used, Action action) {
    for_each_word(used, [&](std::size_t word) {
      for_each_bit(used.bits[word], [&](std::size_t bit) { action(word * 64 + bit); });
    });
  }
  template <class Action>
  void for_each_used(Action action) {
    for_each(global_, action);
    for_each(local_, action);
  }
  bool used(std::size_t i) const {
    return (((global_.bits[i / 64] | local_.bits[i / 64]) >> (i % 64)) & 1) != 0;
  }
  /// An entry may be noted twice, as what it was and what it is.
  void clear_of(Used& used) {
    const bool local = &used == &local_;
    for_each(used, [&](std::size_t i) {
      const bool is_local = (entries_[i].physical & TlbEntry::kGlobal) == 0;
      if (is_local == local) invalidate(i);
    });
    for_each_word(used, [&](std::size_t word) { used.bits[word] = 0; });
    used.words = {};
  }
  [[gnu::always_inline]] void note_used(std::size_t i) {
    const TlbEntry& entry = entries_[i];
    Used& used = (entry.physical & TlbEntry::kGlobal) ? global_ : local_;
    used.bits[i / 64] |= 1ull << (i % 64);
    used.words[i / 4096] |= 1ull << (i / 64 % 64);
    if (entry.physical & (TlbEntry::kLarge | TlbEntry::kHuge))
      large_.add(linear_of(i), entry.shift());
  }
  /// Pages that share a place among the writers.
  static std::size_t writer_slot(std::uint64_t physical) {
    return (physical >> kPageShift) & (kWriters - 1);
  }
  bool may_write_at(std::size_t i, std::uint64_t physical) const {
    const TlbEntry& entry = entries_[i];
    return entry.write_tag == entry.read_tag &&
           writer_slot(entry.physical) == writer_slot(physical);
  }
  [[gnu::always_inline]] void note_writer(std::size_t i) {
    const std::uint64_t physical = entries_[i].physical;
    if (!may_write_at(i, physical)) return;
    std::uint32_t& writer = writers_[writer_slot(physical)];
    const auto here = static_cast<std::uint32_t>(i + 1);
    if (writer == here || writer == kSeveral) return;
    writer = writer == kNobody || !may_write_at(writer - 1, physical) ? here : kSeveral;
  }
  void take_write_permission(std::size_t i) {
    TlbEntry& entry = entries_[i];
    const std::uint64_t tag = no_tag(std::uint64_t{i} << kPageShift);
    if (entry.write_tag == entry.read_tag && entry.read_tag != tag)
      entry.physical |= TlbEntry::kWritableSlowly;
    entry.write_tag = tag;
  }
  void invalidate(std::size_t i) {
    const std::uint64_t tag = no_tag(std::uint64_t{i} << kPageShift);
    entries_[i] = {tag, tag, 0, ~kPageMask};
  }

  std::array<TlbEntry, kSlots> entries_;
  std::array<std::uint32_t, kEntries> evicted_;  ///< pages, each by the low bits of its number
  /// Places, counted from 1, of the entries through which physical pages may be written: nobody has
  /// to look through all of them for most pages.
  static constexpr std::size_t kWriters = 4 * kEntries;
  static constexpr std::uint32_t kNobody = 0, kSeveral = ~0u;
  std::array<std::uint32_t, kWriters> writers_;
  Used global_, local_;
  PageFilter large_;  ///< large pages that entries are part of
};

}  // namespace vireo::engine
