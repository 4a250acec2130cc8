#include "devices/virtio/split_ring.h"

#include "devices/virtio/descriptor_table.h"

namespace vireo::devices::virtio {
namespace {

// Offsets in the available ring and, but for the size of entries, in the used ring. 2.7.6, 2.7.8.
constexpr std::uint64_t kFlags = 0, kIndex = 2, kEntries = 4;
constexpr std::uint64_t kAvailableEntry = 2, kUsedEntry = 8;
constexpr std::uint16_t kNoInterrupt = 1, kNoNotify = 1;

}  // namespace

OrDriverError<bool> SplitRing::take(Chain& chain) {
  const auto index = TRY(memory_.load<std::uint16_t>(state_.driver_area + kIndex));
  const auto waiting = static_cast<std::uint16_t>(index - state_.next_available);
  if (waiting == 0) return false;
  if (waiting > state_.size) return driver_error("more requests than the queue holds");
  chain.clear();
  const std::uint64_t slot = state_.next_available % state_.size;
  chain.id =
      TRY(memory_.load<std::uint16_t>(state_.driver_area + kEntries + slot * kAvailableEntry));
  TRY(collect(chain));
  ++state_.next_available;
  return true;
}

OrDriverError<> SplitRing::collect(Chain& chain) const {
  std::uint16_t at = chain.id;
  for (unsigned steps = 0; steps < state_.size; ++steps) {
    if (at >= state_.size) return driver_error("a descriptor that the queue does not have");
    const Descriptor one = TRY(read_descriptor(memory_, state_.descriptors, at, Layout::kSplit));
    if (one.has(descriptor::kIndirect)) {
      if (!format_.indirect || one.has(descriptor::kNext))
        return driver_error("an indirect descriptor where none may be");
      return add_indirect(memory_, one, Layout::kSplit, chain);
    }
    TRY(chain.add(one.buffer(), one.has(descriptor::kWrite)));
    if (!one.has(descriptor::kNext)) return {};
    at = one.next;
  }
  return driver_error("a loop of descriptors");
}

OrDriverError<> SplitRing::give_back(std::span<const Done> done) {
  for (const Done& one : done) {
    const std::uint64_t slot = state_.next_used % state_.size;
    const std::uint64_t entry = state_.device_area + kEntries + slot * kUsedEntry;
    TRY(memory_.store<std::uint32_t>(entry, one.chain->id));
    TRY(memory_.store<std::uint32_t>(entry + 4, one.written));
    ++state_.next_used;
  }
  return memory_.store<std::uint16_t>(state_.device_area + kIndex, state_.next_used);
}

OrDriverError<bool> SplitRing::interrupt_wanted() {
  RingMemory::store_before_load();
  if (!format_.event_index) {
    const auto flags = TRY(memory_.load<std::uint16_t>(state_.driver_area + kFlags));
    return (flags & kNoInterrupt) == 0;
  }
  // 2.7.10: the driver waits for the entry with this number.
  const auto event = TRY(memory_.load<std::uint16_t>(state_.driver_area + kEntries +
                                                     std::uint64_t{state_.size} * kAvailableEntry));
  const auto before = static_cast<std::uint16_t>(event - state_.judged_used);
  const auto done = static_cast<std::uint16_t>(state_.next_used - state_.judged_used);
  state_.judged_used = state_.next_used;
  return before < done;
}

OrDriverError<> SplitRing::suppress_notifications() {
  // With event indexes the old one does: the driver has passed it.
  if (format_.event_index) return {};
  return memory_.store<std::uint16_t>(state_.device_area + kFlags, kNoNotify);
}

OrDriverError<bool> SplitRing::request_notification() {
  if (format_.event_index) {
    TRY(memory_.store<std::uint16_t>(
        state_.device_area + kEntries + std::uint64_t{state_.size} * kUsedEntry,
        state_.next_available));
  } else {
    TRY(memory_.store<std::uint16_t>(state_.device_area + kFlags, 0));
  }
  RingMemory::store_before_load();
  return TRY(memory_.load<std::uint16_t>(state_.driver_area + kIndex)) != state_.next_available;
}

}  // namespace vireo::devices::virtio
