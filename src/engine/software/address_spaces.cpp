#include "engine/software/address_spaces.h"

#include <algorithm>
#include <utility>

namespace vireo::engine {
namespace {

/// Somebody may have begun to watch the page meanwhile.
TlbEntry with_current_permission(TlbEntry entry, memory::GuestMemory& memory) {
  const bool writable = entry.write_tag == entry.read_tag;
  const PhysAddr page{entry.physical & ~kPageMask};
  if (!writable || memory.view(page).writable) return entry;
  entry.write_tag = Tlb::no_tag(entry.read_tag);
  entry.physical |= TlbEntry::kWritableSlowly;
  return entry;
}

}  // namespace

AddressSpaces::Space* AddressSpaces::find(std::uint16_t pcid) {
  const auto found = std::ranges::find_if(
      spaces_, [pcid](const Space& space) { return space.pcid == pcid && !space.entries.empty(); });
  return found != spaces_.end() ? &*found : nullptr;
}

void AddressSpaces::put_aside(std::uint16_t pcid, Tlbs& tlbs) {
  Space* space = find(pcid);
  if (space == nullptr) {
    const auto free =
        std::ranges::find_if(spaces_, [](const Space& s) { return s.entries.empty(); });
    space = free != spaces_.end() ? &*free : &spaces_[next_++ % kSpaces];
  }
  space->pcid = pcid;
  space->entries.clear();
  for (std::uint32_t i = 0; i < tlbs.size(); ++i) {
    tlbs[i].take_non_global([&](std::size_t place, const TlbEntry& entry) {
      if (space->entries.size() < kMaxEntries)
        space->entries.push_back({i, static_cast<std::uint32_t>(place), entry});
    });
  }
}

void AddressSpaces::bring_back(std::uint16_t pcid, Tlbs& tlbs, memory::GuestMemory& memory) {
  if (std::exchange(moves_, memory.moves()) != memory.moves()) forget_all();
  Space* space = find(pcid);
  if (space == nullptr) return;
  for (const Entry& each : space->entries)
    tlbs[each.tlb].put_back(each.place, with_current_permission(each.entry, memory));
  space->entries.clear();
}

void AddressSpaces::forget(std::uint16_t pcid) {
  if (Space* space = find(pcid)) space->entries.clear();
}

void AddressSpaces::forget_all() {
  for (Space& space : spaces_) space.entries.clear();
}

}  // namespace vireo::engine
