#include "backends/character/raw_terminal.h"

#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/assert.h"

namespace vireo::backends {
namespace {

// A signal handler can reach nothing but globals.
std::atomic<int> terminal_fd = -1;  // -1: nothing to restore
termios cooked_mode, raw_mode;

constexpr std::array kFatal = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP,   SIGABRT,
                               SIGBUS,  SIGFPE,  SIGSEGV, SIGTERM, SIGALRM,   SIGUSR1,
                               SIGUSR2, SIGXCPU, SIGXFSZ, SIGSYS,  SIGVTALRM, SIGPROF};

/// In the background, changing the mode would stop us and disturb whoever has the terminal now. A
/// terminal that is not the controlling one has no foreground for us to be in: it is ours.
bool may_change(int fd) {
  const pid_t foreground = ::tcgetpgrp(fd);
  return foreground == ::getpgrp() || (foreground < 0 && errno == ENOTTY);
}

void set_mode(const termios& mode) {
  const int fd = terminal_fd.load();
  if (fd < 0 || !may_change(fd)) return;
  while (::tcsetattr(fd, TCSANOW, &mode) != 0 && errno == EINTR) {
  }
}

// The handlers call only what signal-safety(7) lists.

void raise_with_default(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::raise(signal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);  // it is delivered here
}

void on_fatal(int signal) {
  set_mode(cooked_mode);
  raise_with_default(signal);
}

void install(int signal, void (*handler)(int));

void on_stop(int signal) {
  const int saved_errno = errno;
  set_mode(cooked_mode);
  raise_with_default(signal);  // returns when the process is continued
  install(signal, on_stop);
  set_mode(raw_mode);
  errno = saved_errno;
}

void on_continue(int) {
  const int saved_errno = errno;
  set_mode(raw_mode);
  errno = saved_errno;
}

void install(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

/// Whoever handles a signal, or ignores it, has reasons.
void install_over_default(int signal, void (*handler)(int)) {
  struct sigaction old = {};
  if (::sigaction(signal, nullptr, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
      old.sa_handler == SIG_DFL)
    install(signal, handler);
}

void uninstall(int signal, void (*handler)(int)) {
  struct sigaction current = {};
  if (::sigaction(signal, nullptr, &current) == 0 && !(current.sa_flags & SA_SIGINFO) &&
      current.sa_handler == handler)
    ::signal(signal, SIG_DFL);
}

void restore_at_exit() { set_mode(cooked_mode); }

}  // namespace

RawTerminal::RawTerminal(int fd) {
  if (!::isatty(fd) || ::tcgetattr(fd, &cooked_mode) != 0) return;
  VIREO_ASSERT(terminal_fd.load() < 0);
  raw_mode = cooked_mode;
  ::cfmakeraw(&raw_mode);
  terminal_fd = fd;
  active_ = true;
  [[maybe_unused]] static const int registered = std::atexit(restore_at_exit);
  for (const int signal : kFatal) install_over_default(signal, on_fatal);
  install_over_default(SIGTSTP, on_stop);
  install_over_default(SIGCONT, on_continue);
  set_mode(raw_mode);
}

RawTerminal::~RawTerminal() {
  if (!active_) return;
  set_mode(cooked_mode);
  terminal_fd = -1;
  for (const int signal : kFatal) uninstall(signal, on_fatal);
  uninstall(SIGTSTP, on_stop);
  uninstall(SIGCONT, on_continue);
}

}  // namespace vireo::backends
