#pragma once
#include <array>
#include <cstdint>

#include "base/address.h"

namespace vireo::engine {

/// A set of pages that errs on one side: it never misses a page that was added, and may claim to
/// hold one that was not.
class PageFilter {
 public:
  /// The sizes of pages that are told apart, as powers of two. Those of 2 MiB count as 4 MiB.
  static constexpr unsigned kSmall = kPageShift, kLarge = 22, kHuge = 30;

  [[gnu::always_inline]] void add(std::uint64_t linear, unsigned shift) {
    const std::uint64_t hash = hash_of(linear, shift);
    set(hash >> kFirst);
    set(hash >> kSecond);
    empty_ = false;
  }
  /// Whether a page of any size that covers the address may have been added.
  bool may_hold(std::uint64_t linear) const {
    if (empty_) return false;
    return test(hash_of(linear, kSmall)) || test(hash_of(linear, kLarge)) ||
           test(hash_of(linear, kHuge));
  }
  void clear() {
    if (!empty_) *this = {};
  }

 private:
  /// A kernel's map of all memory is hundreds of large pages: with two bits for each, out of so
  /// many, one in a hundred of the other pages is claimed.
  static constexpr unsigned kBits = 8192, kFirst = 51, kSecond = 38;

  static std::uint64_t hash_of(std::uint64_t linear, unsigned shift) {
    constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio: spreads
    return ((linear >> shift) + shift) * kGolden;
  }
  [[gnu::always_inline]] void set(std::uint64_t i) { bits_[i % kBits / 64] |= 1ull << (i % 64); }
  bool has(std::uint64_t i) const { return ((bits_[i % kBits / 64] >> (i % 64)) & 1) != 0; }
  bool test(std::uint64_t hash) const { return has(hash >> kFirst) && has(hash >> kSecond); }

  std::array<std::uint64_t, kBits / 64> bits_{};
  bool empty_ = true;
};

}  // namespace vireo::engine
