#pragma once
#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vireo::state {

/// Writes the fields that a component lists in its `fields()`, little endian.
class Writer {
 public:
  template <std::unsigned_integral T>
  void operator()(std::string_view, const T& value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  template <class T, std::size_t N>
  void operator()(std::string_view name, const std::array<T, N>& values) {
    for (const T& value : values) (*this)(name, value);
  }
  template <class T>
  requires requires(const T& value, Writer& writer) { T::fields(value, writer); }
  void operator()(std::string_view, const T& component) { T::fields(component, *this); }
  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

/// Reads them back. Input is hostile: running short is remembered, never undefined behaviour.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  template <std::unsigned_integral T>
  void operator()(std::string_view, T& value) {
    if (bytes_.size() < sizeof(T)) {
      failed_ = true;
      return;
    }
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) sum |= std::uint64_t{bytes_[i]} << (8 * i);
    value = static_cast<T>(sum);
    bytes_ = bytes_.subspan(sizeof(T));
  }
  template <class T, std::size_t N>
  void operator()(std::string_view name, std::array<T, N>& values) {
    for (T& value : values) (*this)(name, value);
  }
  template <class T>
  requires requires(T& value, Reader& reader) { T::fields(value, reader); }
  void operator()(std::string_view, T& component) { T::fields(component, *this); }
  /// Everything was there and nothing was left over.
  bool ok() const { return !failed_ && bytes_.empty(); }

 private:
  std::span<const std::uint8_t> bytes_;
  bool failed_ = false;
};

}  // namespace vireo::state
