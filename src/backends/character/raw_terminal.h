#pragma once
#include "base/result.h"

namespace vireo::backends {

/// Puts the terminal behind a descriptor in raw mode while it lives: every key reaches the guest.
/// The old mode comes back when it is destroyed, at exit(), on every fatal signal whose disposition
/// was the default one when it was made, and while the process is stopped (SIGTSTP); raw mode
/// returns with SIGCONT. At most one at a time. Does nothing if the descriptor is no terminal.
class RawTerminal {
 public:
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;

  bool active() const { return active_; }

 private:
  bool active_ = false;
};

}  // namespace vireo::backends
