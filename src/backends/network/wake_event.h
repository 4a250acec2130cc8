#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <thread>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// Wakes a thread that sleeps in poll(). Wake-ups that come before it sleeps are kept, as one.
class WakeEvent {
 public:
  static Result<WakeEvent> create() {
    WakeEvent event;
    event.fd_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event.fd_) return host_error("cannot make an event for a network thread");
    return event;
  }
  /// Readable while there is a wake-up to take.
  int fd() const { return fd_.get(); }
  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto ignored = ::write(fd_.get(), &one, sizeof(one));
  }
  void take() const {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto ignored = ::read(fd_.get(), &count, sizeof(count));
  }

 private:
  UniqueFd fd_;
};

/// A thread that no signal interrupts, not even that of a broken pipe.
template <class Body>
std::thread start_quiet_thread(Body body) {
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(body));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace vireo::backends
