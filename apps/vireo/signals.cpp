#include "signals.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace vireo::app {

WatchedSignals::WatchedSignals() {
  sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&signals_, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
}

WatchedSignals::~WatchedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

Result<> WatchedSignals::watch(EventLoop& loop, std::function<void(int)> callback) {
  fd_ = UniqueFd(::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_)
    return host_error("cannot watch for signals: {}", std::generic_category().message(errno));
  return loop.watch(fd_.get(), {.readable = true},
                    [fd = fd_.get(), callback = std::move(callback)](EventLoop::Ready) {
                      signalfd_siginfo info{};
                      if (::read(fd, &info, sizeof(info)) == sizeof(info)) {
                        callback(static_cast<int>(info.ssi_signo));
                      }
                    });
}

}  // namespace vireo::app
