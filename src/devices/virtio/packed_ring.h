#pragma once
#include "devices/virtio/chain.h"
#include "devices/virtio/queue_state.h"
#include "devices/virtio/ring_memory.h"

namespace vireo::devices::virtio {

/// The device's side of a packed queue: one descriptor ring that both sides write, and two words of
/// event suppression. Virtual I/O Device 1.2, 2.8. The same contract as SplitRing.
class PackedRing {
 public:
  PackedRing(memory::GuestMemory& memory, QueueState& state, RingFormat format)
      : memory_(memory), state_(state), format_(format) {}

  static void start(QueueState& state) {
    state.next_available = state.next_used = state.judged_used = kWrap;
  }

  OrDriverError<bool> take(Chain& chain);
  OrDriverError<> give_back(std::span<const Done> done);
  OrDriverError<bool> interrupt_wanted();
  OrDriverError<> suppress_notifications();
  OrDriverError<bool> request_notification();

  /// Positions: an index below this, and the wrap counter.
  static constexpr std::uint16_t kWrap = 0x8000, kIndexBits = 0x7fff;

 private:
  OrDriverError<bool> available() const;
  OrDriverError<> collect(Chain& chain) const;
  std::uint16_t advanced(std::uint16_t position, std::uint16_t slots) const;
  unsigned distance(std::uint16_t from, std::uint16_t to) const;

  RingMemory memory_;
  QueueState& state_;
  const RingFormat format_;
};

}  // namespace vireo::devices::virtio
