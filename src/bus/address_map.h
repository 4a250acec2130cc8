#pragma once
#include <cstdint>
#include <map>
#include <shared_mutex>
#include <span>
#include <string>

#include "base/result.h"
#include "bus/bus_device.h"

namespace vireo::bus {

/// Ranges of addresses and the devices behind them: one for memory-mapped I/O, one for ports.
/// Accesses that no device claims read as all ones and are dropped when written, as on a PC.
/// Thread safe; devices are called without a lock of the map held, so a device may add and remove
/// windows (PCI BARs) while it handles an access. Devices outlive the map.
class AddressMap {
 public:
  /// A usage error if the range is taken; `name` is for messages and inspection.
  Result<> add(std::uint64_t base, std::uint64_t size, BusDevice& device, std::string name);
  void remove(std::uint64_t base);

  /// An access that crosses from one window to another is split at the border.
  void read(std::uint64_t address, std::span<std::byte> data);
  void write(std::uint64_t address, std::span<const std::byte> data);

 private:
  struct Window {
    std::uint64_t base;
    std::uint64_t size;
    BusDevice* device;
    std::string name;
  };
  struct Found {
    BusDevice* device;
    std::uint64_t offset;
    std::size_t bytes;  // of the access that lie inside
  };
  Found find(std::uint64_t address, std::size_t size);

  std::shared_mutex mutex_;
  std::map<std::uint64_t, Window> windows_;
};

}  // namespace vireo::bus
