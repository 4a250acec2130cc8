#pragma once
#include <csignal>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::app {

/// While it lives, SIGINT, SIGTERM, SIGHUP and SIGUSR1 do not kill the program but arrive on an
/// event loop. To be made before any other thread, so that all inherit the mask.
class WatchedSignals {
 public:
  WatchedSignals();
  ~WatchedSignals();
  WatchedSignals(const WatchedSignals&) = delete;

  /// `callback` gets the number of the signal, on the event thread.
  Result<> watch(EventLoop& loop, std::function<void(int)> callback);

 private:
  sigset_t signals_{};
  sigset_t before_{};
  UniqueFd fd_;
};

}  // namespace vireo::app
