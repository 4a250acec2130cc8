#include "backends/block/delayed_task.h"

#include <pthread.h>

#include <csignal>
#include <system_error>

namespace vireo::backends {

DelayedTask::~DelayedTask() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void DelayedTask::ask() {
  {
    const std::lock_guard lock(mutex_);
    if (asked_ || delay_ == delay_.zero()) return;
    asked_ = true;
    if (!thread_.joinable()) start_thread();
  }
  changed_.notify_one();
}

void DelayedTask::start_thread() {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { work(); });
  } catch (const std::system_error&) {  // the host has no more threads: the next wish may find one
    asked_ = false;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void DelayedTask::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return asked_ || ending_; });
    if (changed_.wait_for(lock, delay_, [this] { return ending_; })) return;
    asked_ = false;
    lock.unlock();
    task_();
    lock.lock();
  }
}

}  // namespace vireo::backends
