#pragma once
#include <cstdint>
#include <limits>

namespace vireo::devices {

/// A counter's frequency, and where its ticks fall on the virtual clock. Exact: no drift however
/// long the machine runs. Tick 0 is at nanosecond 0.
class TickRate {
 public:
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

  explicit constexpr TickRate(std::uint64_t hz) : hz_(hz) {}

  constexpr std::uint64_t hz() const { return hz_; }
  /// Ticks that have happened at `ns`; wraps modulo 2^64.
  constexpr std::uint64_t ticks_at(std::uint64_t ns) const {
    return static_cast<std::uint64_t>(Wide{ns} * hz_ / kNsPerSecond);
  }
  /// The first nanosecond at which ticks_at() has reached `ticks`; kNever if that is out of range.
  constexpr std::uint64_t ns_at(std::uint64_t ticks) const {
    const Wide ns = (Wide{ticks} * kNsPerSecond + hz_ - 1) / hz_;
    return ns > kNever ? kNever : static_cast<std::uint64_t>(ns);
  }

  static constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

 private:
  using Wide = unsigned __int128;
  std::uint64_t hz_;
};

/// a + b, or kNever if that does not fit.
constexpr std::uint64_t add_saturating(std::uint64_t a, std::uint64_t b) {
  return a > TickRate::kNever - b ? TickRate::kNever : a + b;
}

}  // namespace vireo::devices
