#include "engine/translator/segment_slots.h"

#include <algorithm>

namespace vireo::engine::translator {

void SegmentSlots::keep_what_holds(
    const std::array<Tlb, static_cast<std::size_t>(TlbIndex::kCount)>& tlbs) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.linear == kNothing) continue;
    const bool user = i >= 2 * kOfAKind, write = (i / kOfAKind & 1) != 0;
    const TlbIndex who = user ? TlbIndex::kUser : TlbIndex::kSupervisor;
    const TlbEntry& entry = tlbs[static_cast<std::size_t>(who)].entry(slot.linear);
    const std::uint64_t tag = write ? entry.write_tag : entry.read_tag;
    if (tag == (slot.linear & ~kPageMask))
      slot.host = slot.linear + entry.delta;
    else
      slot = {};
  }
}

std::size_t SegmentSlots::filled() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(slots_, [](const Slot& each) { return each.linear != kNothing; }));
}

}  // namespace vireo::engine::translator
