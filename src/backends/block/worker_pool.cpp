#include "backends/block/worker_pool.h"

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace vireo::backends {

WorkerPool::WorkerPool(unsigned most_threads) : most_threads_(most_threads) {
  const std::lock_guard lock(mutex_);
  start_thread();
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::size_t i = 0;; ++i) {
    std::thread thread;
    {
      const std::lock_guard lock(mutex_);
      if (i == threads_.size()) break;
      thread = std::move(threads_[i]);
    }
    thread.join();
  }
}

void WorkerPool::start_thread() {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  threads_.emplace_back([this] { work(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void WorkerPool::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    if (tasks_.size() > idle_ && threads_.size() < most_threads_) {
      try {
        start_thread();
      } catch (const std::system_error&) {  // the host has no more threads: those there are will do
      }
    }
  }
  changed_.notify_one();
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [&] { return !tasks_.empty() || (ending_ && busy_ == 0); });
    --idle_;
    if (tasks_.empty()) break;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    ++busy_;
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
    --busy_;
    if (ending_ && busy_ == 0) changed_.notify_all();
  }
}

}  // namespace vireo::backends
