#pragma once
#include "devices/virtio/chain.h"
#include "devices/virtio/queue_state.h"
#include "devices/virtio/ring_memory.h"

namespace vireo::devices::virtio {

/// The device's side of a split queue: descriptor table, available ring, used ring. Virtual I/O
/// Device 1.2, 2.7. Works on a state that somebody else keeps and guards.
class SplitRing {
 public:
  SplitRing(memory::GuestMemory& memory, QueueState& state, RingFormat format)
      : memory_(memory), state_(state), format_(format) {}

  static void start(QueueState& state) {
    state.next_available = state.next_used = state.judged_used = 0;
  }

  /// The next request; false if there is none.
  OrDriverError<bool> take(Chain& chain);
  /// Says that requests are done: the driver sees all of them or none.
  OrDriverError<> give_back(std::span<const Done> done);
  /// Whether the driver wants to hear of what was given back since it was last asked.
  OrDriverError<bool> interrupt_wanted();
  /// Asks the driver for no notifications for a while: a hint.
  OrDriverError<> suppress_notifications();
  /// Asks for one with the next request; true if there is a request already, of which none comes.
  OrDriverError<bool> request_notification();

 private:
  OrDriverError<> collect(Chain& chain) const;

  RingMemory memory_;
  QueueState& state_;
  const RingFormat format_;
};

}  // namespace vireo::devices::virtio
