#pragma once
#include <cstdint>
#include <cstring>
#include <span>

namespace vireo::bus {

/// The bytes of an access as a number, little endian; at most 8.
inline std::uint64_t to_number(std::span<const std::byte> data) {
  std::uint64_t result = 0;
  std::memcpy(&result, data.data(), data.size() < 8 ? data.size() : 8);
  return result;
}
inline void from_number(std::span<std::byte> data, std::uint64_t number) {
  std::memcpy(data.data(), &number, data.size() < 8 ? data.size() : 8);
}

/// Byte registers behind a wider access: one call of `body(offset, byte&)` per byte, in order.
template <class Body>
void for_each_byte(std::uint64_t offset, std::span<std::byte> data, Body body) {
  for (std::size_t i = 0; i < data.size(); ++i) {
    auto byte = std::to_integer<std::uint8_t>(data[i]);
    body(offset + i, byte);
    data[i] = std::byte{byte};
  }
}

}  // namespace vireo::bus
