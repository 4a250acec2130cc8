#include "devices/virtio/packed_ring.h"

#include "devices/virtio/descriptor_table.h"

namespace vireo::devices::virtio {
namespace {

// Event suppression structures. 2.8.10.
constexpr std::uint64_t kEventPosition = 0, kEventFlags = 2;
constexpr std::uint16_t kEnable = 0, kDisable = 1, kAtPosition = 2, kFlagBits = 3;

constexpr std::uint64_t kLengthOffset = 8, kIdOffset = 12, kFlagsOffset = 14;

}  // namespace

std::uint16_t PackedRing::advanced(std::uint16_t position, std::uint16_t slots) const {
  const unsigned index = (position & kIndexBits) + unsigned{slots};
  const unsigned wrap = position & kWrap;
  if (index < state_.size) return static_cast<std::uint16_t>(wrap | index);
  return static_cast<std::uint16_t>((wrap ^ kWrap) | (index - state_.size));
}

/// Slots from one position to another, at most one round and a half apart: positions repeat after
/// two rounds.
unsigned PackedRing::distance(std::uint16_t from, std::uint16_t to) const {
  const unsigned size = state_.size;
  const auto place = [size](std::uint16_t p) {
    return (p & kIndexBits) + ((p & kWrap) != 0 ? 0 : size);
  };
  return (place(to) + 2 * size - place(from)) % (2 * size);
}

OrDriverError<bool> PackedRing::available() const {
  const std::uint64_t slot = state_.next_available & kIndexBits;
  const auto flags = TRY(
      memory_.load<std::uint16_t>(state_.descriptors + slot * descriptor::kBytes + kFlagsOffset));
  const bool wrap = (state_.next_available & kWrap) != 0;
  return ((flags & descriptor::kAvailable) != 0) == wrap &&
         ((flags & descriptor::kUsed) != 0) != wrap;
}

OrDriverError<bool> PackedRing::take(Chain& chain) {
  if (!TRY(available())) return false;
  chain.clear();
  chain.slots = 0;
  TRY(collect(chain));
  state_.next_available = advanced(state_.next_available, chain.slots);
  return true;
}

OrDriverError<> PackedRing::collect(Chain& chain) const {
  std::uint16_t at = state_.next_available;
  while (chain.slots < state_.size) {
    const Descriptor one =
        TRY(read_descriptor(memory_, state_.descriptors, at & kIndexBits, Layout::kPacked));
    ++chain.slots;
    chain.id = one.next;
    if (one.has(descriptor::kIndirect)) {
      if (!format_.indirect || one.has(descriptor::kNext))
        return driver_error("an indirect descriptor where none may be");
      return add_indirect(memory_, one, Layout::kPacked, chain);
    }
    TRY(chain.add(one.buffer(), one.has(descriptor::kWrite)));
    if (!one.has(descriptor::kNext)) return {};
    at = advanced(at, 1);
  }
  return driver_error("a request of more descriptors than the queue holds");
}

OrDriverError<> PackedRing::give_back(std::span<const Done> done) {
  std::uint64_t first_flags_at = 0;
  std::uint16_t first_flags = 0;
  for (const Done& one : done) {
    const std::uint64_t slot =
        state_.descriptors + (state_.next_used & kIndexBits) * descriptor::kBytes;
    const bool wrap = (state_.next_used & kWrap) != 0;
    TRY(memory_.store<std::uint32_t>(slot + kLengthOffset, one.written));
    TRY(memory_.store<std::uint16_t>(slot + kIdOffset, one.chain->id));
    unsigned flags = one.written != 0 ? descriptor::kWrite : 0u;
    if (wrap) flags |= descriptor::kAvailable | descriptor::kUsed;
    if (&one == &done.front()) {
      first_flags_at = slot + kFlagsOffset;
      first_flags = static_cast<std::uint16_t>(flags);
    } else {
      TRY(memory_.store<std::uint16_t>(slot + kFlagsOffset, static_cast<std::uint16_t>(flags)));
    }
    state_.next_used = advanced(state_.next_used, one.chain->slots);
  }
  // The flags of the first come last: they hand all of them over. 2.8.6.
  return memory_.store<std::uint16_t>(first_flags_at, first_flags);
}

OrDriverError<bool> PackedRing::interrupt_wanted() {
  RingMemory::store_before_load();
  const unsigned done = distance(state_.judged_used, state_.next_used);
  const std::uint16_t from = std::exchange(state_.judged_used, state_.next_used);
  const auto flags = TRY(memory_.load<std::uint16_t>(state_.driver_area + kEventFlags)) & kFlagBits;
  if (flags == kEnable) return true;
  if (flags != kAtPosition || !format_.event_index) return false;
  const auto event = TRY(memory_.load<std::uint16_t>(state_.driver_area + kEventPosition));
  if ((event & kIndexBits) >= state_.size) return driver_error("an event outside the ring");
  return distance(from, event) < done;
}

OrDriverError<> PackedRing::suppress_notifications() {
  return memory_.store<std::uint16_t>(state_.device_area + kEventFlags, kDisable);
}

OrDriverError<bool> PackedRing::request_notification() {
  if (format_.event_index) {
    TRY(memory_.store<std::uint16_t>(state_.device_area + kEventPosition, state_.next_available));
    TRY(memory_.store<std::uint16_t>(state_.device_area + kEventFlags, kAtPosition));
  } else {
    TRY(memory_.store<std::uint16_t>(state_.device_area + kEventFlags, kEnable));
  }
  RingMemory::store_before_load();
  return available();
}

}  // namespace vireo::devices::virtio
