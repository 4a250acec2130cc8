#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace vireo {

/// The one virtual clock of a machine. Every device, the TSC and every timer read it. Both readings
/// come from one source, so that a guest which measures one against the other finds no drift.
/// Thread safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Nanoseconds since the machine was first powered on; never goes back.
  virtual std::uint64_t now_ns() const = 0;
  /// The guest's time-stamp counter before IA32_TSC writes: ticks since power-on.
  virtual std::uint64_t tsc() const = 0;
  virtual std::uint64_t tsc_hz() const = 0;
  /// What tsc() adds to the host's time-stamp counter, modulo 2^64, as long as the clock runs on;
  /// empty if it does not read that.
  virtual std::optional<std::uint64_t> host_tsc_bias() const { return {}; }
  /// Seconds since the Unix epoch at power-on, for the real-time clock.
  virtual std::int64_t epoch_at_start() const = 0;
};

/// A one-shot alarm on the virtual clock. Destroying it cancels it.
class Timer {
 public:
  virtual ~Timer() = default;
  /// Replaces an earlier deadline. A deadline in the past fires at once (but never inside arm()).
  virtual void arm(std::uint64_t deadline_ns) = 0;
  virtual void cancel() = 0;
};

/// Makes timers. Callbacks run on the machine's event thread, one at a time, with no lock of ours
/// held; a callback may arm and cancel any timer. cancel() does not wait for a running callback:
/// a device checks its own state, under its own lock, when the callback arrives.
class TimerService {
 public:
  virtual ~TimerService() = default;
  virtual std::unique_ptr<Timer> create_timer(std::function<void()> callback) = 0;
};

}  // namespace vireo
