#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace vireo::bus {

/// A device's window on a bus. `offset` counts from the start of the window; `data` has 1, 2, 4 or
/// 8 bytes (ports: 1, 2 or 4) and lies inside the window. Called by several vCPU threads and by the
/// event thread: the device guards its own state.
class BusDevice {
 public:
  virtual ~BusDevice() = default;
  virtual void read(std::uint64_t offset, std::span<std::byte> data) = 0;
  virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;
};

}  // namespace vireo::bus
