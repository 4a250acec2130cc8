#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace vireo::backends {

/// Carries out one task some time after it was asked for, on a thread of its own, which comes with
/// the first wish. Who asks while one is waited for is served by the same.
class DelayedTask {
 public:
  /// Never without a delay. `task` may take its time.
  DelayedTask(std::chrono::milliseconds delay, std::function<void()> task)
      : delay_(delay), task_(std::move(task)) {}
  /// Waits for a task that has begun; one that has not is left undone.
  ~DelayedTask();
  DelayedTask(const DelayedTask&) = delete;

  /// From any thread, does not wait.
  void ask();

 private:
  void start_thread();
  void work();

  const std::chrono::milliseconds delay_;
  const std::function<void()> task_;
  std::mutex mutex_;  ///< guards all below
  std::condition_variable changed_;
  std::thread thread_;
  bool asked_ = false;
  bool ending_ = false;
};

}  // namespace vireo::backends
