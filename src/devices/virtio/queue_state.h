#pragma once
#include <cstdint>

#include "devices/virtio/driver_error.h"

namespace vireo::devices::virtio {

/// What the driver set up, and how far the device has come in the rings.
///
/// Positions: in split rings the running numbers of entries, modulo 2^16; in packed rings an index
/// with the wrap counter in bit 15.
struct QueueState {
  std::uint16_t size = 0;
  std::uint8_t enabled = 0;
  std::uint64_t descriptors = 0;  ///< guest-physical, as the next two
  std::uint64_t driver_area = 0;  ///< available ring, or the driver's event suppression
  std::uint64_t device_area = 0;  ///< used ring, or the device's event suppression
  std::uint16_t next_available = 0;
  std::uint16_t next_used = 0;
  std::uint16_t judged_used = 0;  ///< next_used when an interrupt was last thought of

  bool operator==(const QueueState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [size, enabled, descriptors, driver_area, device_area, next_available, next_used,
           judged_used] = self;
    visit("size", size), visit("enabled", enabled), visit("descriptors", descriptors);
    visit("driver_area", driver_area), visit("device_area", device_area);
    visit("next_available", next_available), visit("next_used", next_used);
    visit("judged_used", judged_used);
  }
};

/// What driver and device agreed on for the rings.
struct RingFormat {
  bool packed = false;
  bool indirect = false;
  bool event_index = false;
};

/// Whether a queue can run so: its size, the alignment of its parts, and where it has come to.
OrDriverError<> check_queue(const QueueState& state, RingFormat format, std::uint16_t largest);

}  // namespace vireo::devices::virtio
