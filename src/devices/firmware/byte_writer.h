#pragma once
#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace vireo::devices {

/// Puts firmware tables together, little endian. Numbers are cut to the width that is written.
class ByteWriter {
 public:
  ByteWriter& u8(std::integral auto value) { return number(static_cast<std::uint64_t>(value), 1); }
  ByteWriter& u16(std::integral auto value) { return number(static_cast<std::uint64_t>(value), 2); }
  ByteWriter& u32(std::integral auto value) { return number(static_cast<std::uint64_t>(value), 4); }
  ByteWriter& u64(std::integral auto value) { return number(static_cast<std::uint64_t>(value), 8); }
  ByteWriter& zeros(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  /// Filled up with zeros, or cut, to `size`.
  ByteWriter& text(std::string_view characters, std::size_t size) {
    const auto used = characters.substr(0, size);
    bytes_.insert(bytes_.end(), used.begin(), used.end());
    return zeros(size - used.size());
  }
  ByteWriter& bytes(std::span<const std::uint8_t> more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
  }
  std::size_t size() const { return bytes_.size(); }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  ByteWriter& number(std::uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i)
      bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    return *this;
  }
  std::vector<std::uint8_t> bytes_;
};

}  // namespace vireo::devices
