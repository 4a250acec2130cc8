#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace vireo::test {

/// Calls `action` again and again once the time is over, until it is destroyed.
class Watchdog {
 public:
  Watchdog(std::chrono::milliseconds limit, std::function<void()> action)
      : thread_([this, limit, action = std::move(action)] {
          std::unique_lock lock(mutex_);
          if (done_.wait_for(lock, limit, [this] { return finished_; })) return;
          expired_ = true;
          while (!done_.wait_for(lock, std::chrono::milliseconds(10), [this] { return finished_; }))
            action();
        }) {}
  ~Watchdog() { finish(); }
  /// Whether the time was over before this call.
  bool finish() {
    {
      std::lock_guard lock(mutex_);
      finished_ = true;
    }
    done_.notify_all();
    if (thread_.joinable()) thread_.join();
    return expired_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool finished_ = false;
  bool expired_ = false;
  std::thread thread_;
};

}  // namespace vireo::test
