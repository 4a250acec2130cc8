#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace vireo::backends {

/// Takes the fields of a 9P message off its front, least significant byte first; zeroes and empty
/// texts once it has ended, which good() then tells. Whoever sent it may have put anything there.
class MessageReader {
 public:
  explicit MessageReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <std::unsigned_integral T>
  T take() {
    T result{};
    const auto field = raw(sizeof(T));
    if (!field.empty()) std::memcpy(&result, field.data(), sizeof(T));
    return result;
  }
  /// Valid as long as the message.
  std::string_view text() {
    const auto field = raw(take<std::uint16_t>());
    // SAFETY: bytes read as characters.
    return {reinterpret_cast<const char*>(field.data()), field.size()};
  }
  std::span<const std::byte> raw(std::size_t size) {
    if (size > bytes_.size()) {
      good_ = false;
      bytes_ = {};
      return {};
    }
    const auto field = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return field;
  }
  bool good() const { return good_; }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  bool good_ = true;
};

/// Builds a 9P message in a buffer. What does not fit is left out, which good() then tells.
class MessageWriter {
 public:
  explicit MessageWriter(std::span<std::byte> buffer) : buffer_(buffer) {}

  template <std::unsigned_integral T>
  void put(T value) {
    raw(std::as_bytes(std::span(&value, 1)));
  }
  void text(std::string_view text) {
    put(static_cast<std::uint16_t>(text.size()));
    raw(std::as_bytes(std::span(text)));
  }
  void raw(std::span<const std::byte> bytes) {
    if (const auto field = skip(bytes.size()); !field.empty())
      std::memcpy(field.data(), bytes.data(), bytes.size());
  }
  /// Room for something that is filled in later; empty if there is none.
  std::span<std::byte> skip(std::size_t size) {
    if (size > room()) {
      good_ = false;
      return {};
    }
    const auto field = buffer_.subspan(size_, size);
    size_ += size;
    return field;
  }
  /// Forgets everything behind the first `size` bytes.
  void cut(std::size_t size) { size_ = std::min(size_, size); }
  bool good() const { return good_; }
  std::size_t size() const { return size_; }
  std::size_t room() const { return buffer_.size() - size_; }

 private:
  std::span<std::byte> buffer_;
  std::size_t size_ = 0;
  bool good_ = true;
};

}  // namespace vireo::backends
