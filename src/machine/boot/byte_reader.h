#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace vireo::machine {

/// The little-endian number at `offset` of a hostile file; empty if the file ends before it does.
template <std::unsigned_integral T>
std::optional<T> number_at(std::span<const std::byte> file, std::uint64_t offset) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) return std::nullopt;
  T result;
  std::memcpy(&result, file.data() + offset, sizeof(T));
  return result;
}

/// Same, with 0 for what is not there.
template <std::unsigned_integral T>
T number_or_zero(std::span<const std::byte> file, std::uint64_t offset) {
  return number_at<T>(file, offset).value_or(0);
}

/// Part of a hostile file; empty if the file does not have all of it.
inline std::optional<std::span<const std::byte>> part_of(std::span<const std::byte> file,
                                                         std::uint64_t offset, std::uint64_t size) {
  if (offset > file.size() || size > file.size() - offset) return std::nullopt;
  return file.subspan(offset, size);
}

}  // namespace vireo::machine
