#include "devices/virtio/queue_state.h"

#include <bit>

#include "devices/virtio/packed_ring.h"

namespace vireo::devices::virtio {

OrDriverError<> check_queue(const QueueState& state, RingFormat format, std::uint16_t largest) {
  const unsigned size = state.size;
  if (size == 0 || size > largest || (!format.packed && !std::has_single_bit(size)))
    return driver_error("a queue of an impossible size");
  const unsigned driver_alignment = format.packed ? 4 : 2;
  if (state.descriptors % 16 != 0 || state.driver_area % driver_alignment != 0 ||
      state.device_area % 4 != 0)
    return driver_error("a queue at an odd address");
  if (!format.packed) return {};
  for (const unsigned position : {state.next_available, state.next_used, state.judged_used}) {
    if ((position & PackedRing::kIndexBits) >= size)
      return driver_error("a position outside the ring");
  }
  return {};
}

}  // namespace vireo::devices::virtio
