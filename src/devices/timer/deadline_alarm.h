#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "devices/timer/tick_rate.h"

namespace vireo::devices {

/// A device's alarm that is told the next deadline after every access: the host hears of it only
/// when it changes. Used under the device's lock.
class DeadlineAlarm {
 public:
  DeadlineAlarm(TimerService& timers, std::function<void()> callback)
      : timer_(timers.create_timer(std::move(callback))) {}

  /// TickRate::kNever cancels.
  void set(std::uint64_t deadline_ns) {
    if (deadline_ns == deadline_) return;
    deadline_ = deadline_ns;
    if (deadline_ns == TickRate::kNever)
      timer_->cancel();
    else
      timer_->arm(deadline_ns);
  }
  /// To be called first by the callback, when it has the lock: the alarm is no longer armed.
  void expired() { deadline_ = TickRate::kNever; }

 private:
  std::unique_ptr<Timer> timer_;
  std::uint64_t deadline_ = TickRate::kNever;
};

}  // namespace vireo::devices
