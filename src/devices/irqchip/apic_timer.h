#pragma once
#include <cstdint>

#include "base/clock.h"
#include "devices/timer/tick_rate.h"

namespace vireo::devices {

/// LVT timer bits 18:17. SDM vol. 3A, table 10-2.
enum class ApicTimerMode : std::uint8_t { kOneShot = 0, kPeriodic = 1, kTscDeadline = 2 };

/// What the timer remembers, besides its LVT entry. The count is that of `base_tick`; it has gone
/// down since then.
struct ApicTimerState {
  std::uint32_t initial_count = 0;
  std::uint32_t divide = 0;  ///< the register: bits 3, 1 and 0
  std::uint32_t count = 0;
  std::uint64_t base_tick = 0;     ///< of the undivided clock
  std::uint64_t tsc_deadline = 0;  ///< 0: disarmed

  bool operator==(const ApicTimerState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [initial_count, divide, count, base_tick, tsc_deadline] = self;
    visit("initial_count", initial_count), visit("divide", divide), visit("count", count);
    visit("base_tick", base_tick), visit("tsc_deadline", tsc_deadline);
  }
};

/// The arithmetic of the local APIC's timer (SDM vol. 3A, 10.5.4): no lock, no alarm, no LVT.
class ApicTimer {
 public:
  ApicTimer(const Clock& clock, std::uint64_t hz) : clock_(clock), rate_(hz) {}

  std::uint32_t current_count(ApicTimerMode mode) const;
  /// Writes to the initial-count register; 0 stops the timer. None in TSC-deadline mode.
  void start(std::uint32_t initial_count);
  void set_divide(std::uint32_t divide, ApicTimerMode mode);
  /// Counting goes on from one-shot to periodic and back; to and from TSC-deadline it stops.
  void change_mode(ApicTimerMode from, ApicTimerMode to);
  /// In ticks of the clock's TSC; 0 disarms.
  void set_tsc_deadline(std::uint64_t deadline) { state_.tsc_deadline = deadline; }

  /// When the timer expires next, on the virtual clock; TickRate::kNever if it is stopped.
  std::uint64_t deadline_ns(ApicTimerMode mode) const;
  /// Whether it has expired by now. If so it stops or starts over: true once per expiry, however
  /// many periods were missed.
  bool expire(ApicTimerMode mode);

  const ApicTimerState& state() const { return state_; }
  /// Any state is a possible one.
  void restore(const ApicTimerState& state) { state_ = state; }

 private:
  std::uint64_t now_ticks() const { return rate_.ticks_at(clock_.now_ns()); }
  std::uint64_t divisor() const;
  /// Undivided ticks from base_tick to the next time the count is 0.
  std::uint64_t ticks_to_zero() const { return state_.count * divisor(); }

  const Clock& clock_;
  const TickRate rate_;
  ApicTimerState state_;
};

}  // namespace vireo::devices
