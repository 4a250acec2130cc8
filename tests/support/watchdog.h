#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

namespace vireo::test {

/// Calls an action again and again once a time is over. One sleeping thread for many guarded runs:
/// arming and disarming wakes nobody.
class Watchdog {
 public:
  Watchdog() : thread_([this] { watch(); }) {}
  ~Watchdog() {
    finished_ = true;
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;

  void arm(std::chrono::milliseconds limit, std::function<void()> action) {
    const std::lock_guard lock(mutex_);
    deadline_ = Clock::now() + limit;
    action_ = std::move(action);
  }
  /// Afterwards the action is not called any more.
  void disarm() {
    const std::lock_guard lock(mutex_);
    action_ = nullptr;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void watch() {
    while (!finished_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const std::lock_guard lock(mutex_);
      if (action_ && Clock::now() >= deadline_) action_();
    }
  }

  std::atomic<bool> finished_ = false;
  std::mutex mutex_;
  Clock::time_point deadline_;
  std::function<void()> action_;
  std::thread thread_;
};

}  // namespace vireo::test
