#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/software/cpu.h"

namespace vireo::engine::translator {

/// Where operands at constant offsets from FS and GS were found last: what belongs to a thread or,
/// in a kernel, to a CPU. Translated code fills the slots and looks into them before it looks into
/// the TLB; a slot holds only what the TLB would let the same access do.
class SegmentSlots {
 public:
  /// The longest operand: what is found may be read or written up to this length.
  static constexpr unsigned kMaxSize = 8;

  struct Slot {
    std::uint64_t linear = kNothing;
    std::uint64_t host = 0;
  };
  /// The place of the slot of an operand, among all.
  static std::size_t place(bool user, bool write, std::int64_t offset) {
    const auto bits = static_cast<std::uint64_t>(offset);
    const std::size_t in_kind = (bits >> 2 ^ bits >> 7 ^ bits >> 12) % kOfAKind;
    return (user ? 2 * kOfAKind : 0) + (write ? kOfAKind : 0) + in_kind;
  }

  /// Slots of which the TLBs no longer say the same are empty from now on. To be called when
  /// anything ended that a TLB would let an access do, before translated code runs.
  void keep_what_holds(const std::array<Tlb, static_cast<std::size_t>(TlbIndex::kCount)>& tlbs);

  std::size_t filled() const;

 private:
  static constexpr std::size_t kOfAKind = 32;
  /// No base is so far from what is canonical that an operand could have this address.
  static constexpr std::uint64_t kNothing = 1ull << 62;
  std::array<Slot, 4 * kOfAKind> slots_{};
};

}  // namespace vireo::engine::translator
