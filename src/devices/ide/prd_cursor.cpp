#include "devices/ide/prd_cursor.h"

#include <algorithm>

namespace vireo::devices {

template <class Copy>
PrdCursor::Moved PrdCursor::move(const memory::GuestMemory& memory, std::size_t size, Copy copy) {
  constexpr std::uint64_t kLast = std::uint64_t{1} << 63;
  constexpr std::uint32_t kCountBits = 0xfffe, kLargest = 0x10000;
  Moved moved;
  while (moved.bytes < size) {
    if (left == 0) {
      if (last != 0) return moved;
      std::uint64_t region = 0;
      if (!memory.read_value(PhysAddr{entry}, region)) return {moved.bytes, true};
      entry += sizeof(region);
      last = (region & kLast) != 0;
      address = static_cast<std::uint32_t>(region) & ~1u;
      const auto count = static_cast<std::uint32_t>(region >> 32) & kCountBits;
      left = count != 0 ? count : kLargest;
    }
    const auto part = std::min<std::uint32_t>(left, static_cast<std::uint32_t>(size) - moved.bytes);
    if (!copy(PhysAddr{address}, moved.bytes, part)) return {moved.bytes, true};
    address += part;
    left -= part;
    moved.bytes += part;
  }
  return moved;
}

PrdCursor::Moved PrdCursor::to_guest(memory::GuestMemory& memory, std::span<const std::byte> data) {
  return move(memory, data.size(), [&](PhysAddr at, std::uint32_t offset, std::uint32_t part) {
    return memory.write(at, data.subspan(offset, part));
  });
}

PrdCursor::Moved PrdCursor::from_guest(const memory::GuestMemory& memory,
                                       std::span<std::byte> data) {
  return move(memory, data.size(), [&](PhysAddr at, std::uint32_t offset, std::uint32_t part) {
    return memory.read(at, data.subspan(offset, part));
  });
}

}  // namespace vireo::devices
