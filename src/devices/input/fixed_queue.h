#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace vireo::devices {

/// A queue of bytes inside a device, part of its saved state.
template <std::size_t kCapacity>
struct FixedQueue {
  std::array<std::uint8_t, kCapacity> bytes{};  ///< the oldest first; zero behind the last
  std::uint8_t count = 0;

  bool operator==(const FixedQueue&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [bytes, count] = self;
    visit("bytes", bytes), visit("count", count);
  }
  bool valid() const { return count <= kCapacity; }
  bool empty() const { return count == 0; }
  std::size_t room() const { return kCapacity - count; }
  void clear() { *this = {}; }
  /// Dropped if there is no room.
  void push(std::uint8_t byte) {
    if (count < kCapacity) bytes[count++] = byte;
  }
  std::optional<std::uint8_t> pop() {
    if (count == 0) return std::nullopt;
    const std::uint8_t first = bytes[0];
    std::shift_left(bytes.begin(), bytes.begin() + count, 1);
    bytes[--count] = 0;
    return first;
  }
};

}  // namespace vireo::devices
