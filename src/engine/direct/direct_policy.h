#pragma once
#include <algorithm>
#include <cstdint>

namespace vireo::engine::direct {

/// When an address space's user code is worth a process of the host. What a stop of the process
/// costs, and what translated code loses against native code, decide: user code that stays for
/// longer than kWorthwhileNs between entries of the kernel gains. Code that does not is left to the
/// translator for a while, longer each time. Times are of one monotonic clock.
class DirectPolicy {
 public:
  static constexpr std::uint64_t kWindowNs = 1'500'000;    ///< what is judged at once
  static constexpr std::uint64_t kPatienceNs = 3'000'000;  ///< after what was not worth it
  static constexpr std::uint64_t kWorthwhileNs = 60'000;   ///< of translated code
  static constexpr std::uint64_t kShortNs = 25'000;        ///< of native code
  static constexpr std::uint64_t kSlower = 2;  ///< translated code takes so much longer, at least
  static constexpr std::uint64_t kStopNs = 6'000;  ///< of the time in the process, for each stop
  static constexpr std::uint64_t kFirstBreakNs = 100'000, kLongestBreakNs = 1'600'000;
  static constexpr unsigned kPatience = 16;  ///< short runs, one behind the other
  static constexpr std::uint64_t kFirstPauseNs = 20'000'000, kLongestPauseNs = 1'000'000'000;

  /// It has been found worth it.
  bool active() const { return active_; }
  /// When it may run natively again.
  std::uint64_t not_before() const { return not_before_; }
  /// Translated user code was in the middle of something, `elapsed` after the window began, with so
  /// many entries of the kernel since.
  void note_translated(std::uint64_t now, std::uint64_t elapsed, std::uint64_t entries) {
    if (active_ || now < not_before_ || elapsed < entries * kWorthwhileNs) return;
    active_ = true;
    short_runs_ = 0;
  }
  /// Native code ran for so long, up to something that it could not do; `lost` went into pages that
  /// it lacked, stops, and the ways there and back.
  void note_native(std::uint64_t now, std::uint64_t ran, std::uint64_t lost) {
    if (ran >= kShortNs && kSlower * ran >= lost) {
      if (short_runs_ == 0) pause_ns_ = kFirstPauseNs;
      short_runs_ = 0;
      return;
    }
    if (++short_runs_ == kPatience) return pause(now);
    const std::uint64_t doublings = std::min(short_runs_ - 1, 7u);
    not_before_ = now + std::min(kFirstBreakNs << doublings, kLongestBreakNs);
  }
  /// Another program, it seems; or nothing that can run.
  void pause(std::uint64_t now) {
    active_ = false;
    not_before_ = now + pause_ns_;
    pause_ns_ = std::min(2 * pause_ns_, kLongestPauseNs);
  }

 private:
  bool active_ = false;
  unsigned short_runs_ = 0;
  std::uint64_t not_before_ = 0, pause_ns_ = kFirstPauseNs;
};

}  // namespace vireo::engine::direct
