#pragma once
#include <algorithm>
#include <cstdint>

namespace vireo::engine::direct {

/// When an address space's user code is worth a process of the host. What a stop of the process
/// costs, and what translated code loses against native code, decide: user code that stays for
/// longer than kWorthwhileNs between entries of the kernel gains. Code that does not is left to the
/// translator for a while, longer each time. Where entries are so dense that it may be either, a
/// trial tells: the same time without the process, and whether more or fewer entries were reached
/// with the host's processor time. `now` is of one monotonic clock, `entries` are those of the
/// guest's kernel so far.
class DirectPolicy {
 public:
  static constexpr std::uint64_t kWindowNs = 1'500'000;    ///< what is judged at once
  static constexpr std::uint64_t kPatienceNs = 3'000'000;  ///< after what was not worth it
  static constexpr std::uint64_t kWorthwhileNs = 60'000;   ///< of translated code
  static constexpr std::uint64_t kShortNs = 25'000, kTinyNs = 5'000;  ///< of native code
  /// Translated code takes so much longer, at least; and where a trial was for the process.
  static constexpr std::uint64_t kSlower = 4, kSlowerIfProven = 8;
  static constexpr std::uint64_t kStopNs = 3'000;  ///< of the process's time, for each stop
  static constexpr std::uint64_t kFirstBreakNs = 100'000, kLongestBreakNs = 1'600'000;
  static constexpr unsigned kPatience = 16;  ///< short runs, one behind the other
  static constexpr std::uint64_t kTrialEntries = 24, kShortestTrialNs = 200'000;
  static constexpr std::uint64_t kLongestTrialNs = 4'000'000;
  static constexpr std::uint64_t kSureNs = 400'000;  ///< between entries: no trial is needed
  static constexpr std::uint64_t kFirstTrustNs = 10'000'000, kLongestTrustNs = 320'000'000;
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
    proven_ = false;
    phase_ = Phase::kTrusted;
    trust_until_ = now;
  }
  /// Native code ran for so long, up to something that it could not do; `lost` went into pages that
  /// it lacked, stops, and the ways there and back.
  void note_native(std::uint64_t now, std::uint64_t ran, std::uint64_t lost) {
    if (ran >= (proven_ ? kTinyNs : kShortNs) &&
        (proven_ ? kSlowerIfProven : kSlower) * ran >= lost) {
      if (short_runs_ == 0) pause_ns_ = kFirstPauseNs;
      short_runs_ = 0;
      return;
    }
    if (++short_runs_ == kPatience) return pause(now);
    const std::uint64_t doublings = std::min(short_runs_ - 1, 7u);
    not_before_ = now + std::min(kFirstBreakNs << doublings, kLongestBreakNs);
  }
  /// How much a phase of a trial took; `busy` is the processor time so far.
  struct Progress {
    std::uint64_t now = 0, entries = 0, busy = 0;
  };
  /// Whether note_phase() is to be called, in between native runs: it alone needs `busy`, which is
  /// expensive to know.
  bool phase_over(std::uint64_t now, std::uint64_t entries) const {
    switch (phase_) {
      case Phase::kTrusted:
        return now >= trust_until_;
      case Phase::kNative:
        return entries - start_.entries >= kTrialEntries;
      case Phase::kTranslated:
        return now >= not_before_;
    }
    return false;
  }
  /// Only when phase_over(): the next phase begins.
  void note_phase(const Progress& p) {
    const std::uint64_t elapsed = p.now - start_.now, entries = p.entries - start_.entries;
    const std::uint64_t busy = p.busy - start_.busy;
    switch (phase_) {
      case Phase::kTrusted:
        phase_ = Phase::kNative;
        break;
      case Phase::kNative:
        if (elapsed / entries > kSureNs) break;  // and look at the next
        native_cost_ = busy / entries;
        phase_ = Phase::kTranslated;
        not_before_ = p.now + std::clamp(elapsed, kShortestTrialNs, kLongestTrialNs);
        break;
      case Phase::kTranslated:
        if (busy / std::max<std::uint64_t>(entries, 1) < native_cost_) {
          active_ = false;
          not_before_ = p.now + distrust_ns_;
          distrust_ns_ = std::min(2 * distrust_ns_, kLongestTrustNs);
          trust_ns_ = kFirstTrustNs;
          return;
        }
        proven_ = true;
        phase_ = Phase::kTrusted;
        trust_until_ = p.now + trust_ns_;
        trust_ns_ = std::min(2 * trust_ns_, kLongestTrustNs);
        distrust_ns_ = kFirstTrustNs;
        return;
    }
    start_ = p;
  }
  /// Another program, it seems; or nothing that can run.
  void pause(std::uint64_t now) {
    active_ = false;
    not_before_ = now + pause_ns_;
    pause_ns_ = std::min(2 * pause_ns_, kLongestPauseNs);
  }

 private:
  /// Between trials; in the first half of one, which runs natively where it pays; in the second.
  enum class Phase : std::uint8_t { kTrusted, kNative, kTranslated };

  bool active_ = false;
  bool proven_ = false;  ///< by the latest trial
  Phase phase_ = Phase::kTrusted;
  Progress start_;                 ///< of the phase, but for kTrusted
  std::uint64_t native_cost_ = 0;  ///< of an entry, in processor time
  std::uint64_t trust_until_ = 0, trust_ns_ = kFirstTrustNs, distrust_ns_ = kFirstTrustNs;
  unsigned short_runs_ = 0;
  std::uint64_t not_before_ = 0, pause_ns_ = kFirstPauseNs;
};

}  // namespace vireo::engine::direct
