#pragma once
#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace vireo {

/// A virtual clock that follows the host's time from the moment it is made. It reads the host's TSC
/// where that is invariant (SDM vol. 3B, 17.17.1), so that a guest reads time as cheaply as the
/// host does, and CLOCK_MONOTONIC as a 1 GHz counter elsewhere.
class HostClock final : public Clock {
 public:
  /// Takes about 20 ms when the frequency of the TSC has to be measured.
  HostClock();

  std::uint64_t now_ns() const override;
  std::uint64_t tsc() const override;
  std::uint64_t tsc_hz() const override { return hz_; }
  std::optional<std::uint64_t> host_tsc_bias() const override;
  std::int64_t epoch_at_start() const override { return epoch_at_start_; }

  /// Time stands still from pause() to resume(); neither nests. One thread at a time calls them.
  /// A reading that races with pause() may be a little later than the moment of the pause.
  void pause();
  void resume();

  bool uses_tsc() const { return uses_tsc_; }

 private:
  static constexpr std::uint64_t kRunning = ~std::uint64_t{0};
  std::uint64_t host_ticks() const;

  bool uses_tsc_;
  std::uint64_t hz_;
  unsigned __int128 ns_per_tick_;  // scaled by 2^kScaleShift
  std::int64_t epoch_at_start_;
  std::atomic<std::uint64_t> offset_;             // host ticks that are not part of our time
  std::atomic<std::uint64_t> stopped_{kRunning};  // our ticks while paused
};

}  // namespace vireo
