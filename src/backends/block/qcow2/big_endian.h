#pragma once
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace vireo::backends::qcow2 {

template <std::unsigned_integral T>
T swapped(T value) {
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(value));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(value));
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(value));
  if constexpr (sizeof(T) == 1) return value;
}

/// Numbers as the format has them, most significant byte first, at any address.
template <std::unsigned_integral T>
T load_big_endian(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return swapped(value);
}
template <std::unsigned_integral T>
void store_big_endian(std::uint8_t* to, T value) {
  value = swapped(value);
  std::memcpy(to, &value, sizeof(T));
}

}  // namespace vireo::backends::qcow2
