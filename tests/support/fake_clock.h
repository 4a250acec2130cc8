#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace vireo::test {

/// A clock and its timers that stand still until a test moves them. Not thread safe.
class FakeClock final : public Clock, public TimerService {
 public:
  explicit FakeClock(std::uint64_t tsc_hz = 2'000'000'000) : tsc_hz_(tsc_hz) {}

  std::uint64_t now_ns() const override { return now_; }
  std::uint64_t tsc() const override {
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(now_) * tsc_hz_ /
                                      1'000'000'000);
  }
  std::uint64_t tsc_hz() const override { return tsc_hz_; }
  std::int64_t epoch_at_start() const override { return epoch; }

  std::unique_ptr<Timer> create_timer(std::function<void()> callback) override {
    return std::make_unique<FakeTimer>(*this, std::move(callback));
  }

  /// Lets time pass, running callbacks at their deadlines, in order.
  void advance(std::uint64_t ns) {
    const std::uint64_t end = now_ + ns;
    while (FakeTimer* timer = earliest(end)) {
      now_ = std::max(now_, *timer->deadline);
      timer->deadline.reset();
      timer->callback();
    }
    now_ = end;
  }
  /// Lets time pass while the event thread is too busy to run any callback. They run at the end, or
  /// after skip() with the next advance().
  void stall(std::uint64_t ns) {
    skip(ns);
    advance(0);
  }
  void skip(std::uint64_t ns) { now_ += ns; }
  /// Deadlines not yet reached.
  std::size_t armed() const {
    return static_cast<std::size_t>(
        std::count_if(timers_.begin(), timers_.end(),
                      [](const FakeTimer* t) { return t->deadline.has_value(); }));
  }

  std::int64_t epoch = 0;

 private:
  struct FakeTimer final : Timer {
    FakeTimer(FakeClock& owner_clock, std::function<void()> fn)
        : clock(owner_clock), callback(std::move(fn)) {
      clock.timers_.push_back(this);
    }
    ~FakeTimer() override { std::erase(clock.timers_, this); }
    void arm(std::uint64_t deadline_ns) override { deadline = deadline_ns; }
    void cancel() override { deadline.reset(); }

    FakeClock& clock;
    std::function<void()> callback;
    std::optional<std::uint64_t> deadline;
  };

  FakeTimer* earliest(std::uint64_t end) {
    FakeTimer* found = nullptr;
    for (FakeTimer* timer : timers_)
      if (timer->deadline && *timer->deadline <= end &&
          (!found || *timer->deadline < *found->deadline))
        found = timer;
    return found;
  }

  std::uint64_t tsc_hz_;
  std::uint64_t now_ = 0;
  std::vector<FakeTimer*> timers_;
};

}  // namespace vireo::test
