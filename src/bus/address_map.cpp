#include "bus/address_map.h"

#include <algorithm>
#include <bit>
#include <mutex>

namespace vireo::bus {

Result<> AddressMap::add(std::uint64_t base, std::uint64_t size, BusDevice& device,
                         std::string name) {
  if (size == 0 || base + (size - 1) < base)
    return usage_error("{} at {:#x} has no valid size ({:#x} bytes)", name, base, size);
  std::unique_lock lock(mutex_);
  const std::uint64_t last = base + (size - 1);
  auto after = windows_.upper_bound(last);
  if (after != windows_.begin()) {
    const Window& other = std::prev(after)->second;
    if (other.base + (other.size - 1) >= base) {
      return usage_error("{} at {:#x}-{:#x} overlaps {} at {:#x}", name, base, last, other.name,
                         other.base);
    }
  }
  windows_.emplace(base, Window{base, size, &device, std::move(name)});
  return Unit{};
}

void AddressMap::remove(std::uint64_t base) {
  std::unique_lock lock(mutex_);
  windows_.erase(base);
}

/// The part of the access that one device, or nobody, answers: 1, 2, 4 or 8 bytes.
AddressMap::Found AddressMap::find(std::uint64_t address, std::size_t size) {
  std::shared_lock lock(mutex_);
  auto after = windows_.upper_bound(address);
  Found found{nullptr, 0, size};
  if (after != windows_.end() && after->first - address < size)
    found.bytes = static_cast<std::size_t>(after->first - address);
  if (after != windows_.begin()) {
    const Window& window = std::prev(after)->second;
    const std::uint64_t offset = address - window.base;
    if (offset < window.size) {
      found.device = window.device;
      found.offset = offset;
      found.bytes =
          static_cast<std::size_t>(std::min<std::uint64_t>({found.bytes, window.size - offset, 8}));
      found.bytes = std::bit_floor(found.bytes);
    }
  }
  return found;
}

void AddressMap::read(std::uint64_t address, std::span<std::byte> data) {
  while (!data.empty()) {
    const Found found = find(address, data.size());
    const auto part = data.first(found.bytes);
    if (found.device)
      found.device->read(found.offset, part);
    else
      std::ranges::fill(part, std::byte{0xff});
    address += found.bytes;
    data = data.subspan(found.bytes);
  }
}

void AddressMap::write(std::uint64_t address, std::span<const std::byte> data) {
  while (!data.empty()) {
    const Found found = find(address, data.size());
    if (found.device) found.device->write(found.offset, data.first(found.bytes));
    address += found.bytes;
    data = data.subspan(found.bytes);
  }
}

}  // namespace vireo::bus
