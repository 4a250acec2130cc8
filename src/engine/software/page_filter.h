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
    const unsigned i = bit(linear, shift);
    bits_[i / 64] |= 1ull << (i % 64);
    empty_ = false;
  }
  /// Whether a page of any size that covers the address may have been added.
  bool may_hold(std::uint64_t linear) const {
    if (empty_) return false;
    return test(bit(linear, kSmall)) || test(bit(linear, kLarge)) || test(bit(linear, kHuge));
  }
  void clear() {
    if (!empty_) *this = {};
  }

 private:
  static unsigned bit(std::uint64_t linear, unsigned shift) {
    constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio: spreads
    return static_cast<unsigned>((((linear >> shift) + shift) * kGolden) >> 52);
  }
  bool test(unsigned i) const { return ((bits_[i / 64] >> (i % 64)) & 1) != 0; }

  std::array<std::uint64_t, 64> bits_{};
  bool empty_ = true;
};

}  // namespace vireo::engine
