#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace vireo::backends {

/// Threads for work that waits for the host. They come as they are needed and take no signals.
class WorkerPool {
 public:
  using Task = std::function<void()>;

  /// The first thread starts here, so that later there always is one.
  explicit WorkerPool(unsigned most_threads);
  /// After every task, also those that tasks post.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;

  /// From any thread. Tasks start in order.
  void post(Task task);

 private:
  void start_thread();
  void work();

  const unsigned most_threads_;
  std::mutex mutex_;  ///< guards all below
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;
  unsigned busy_ = 0;
  bool ending_ = false;
};

}  // namespace vireo::backends
