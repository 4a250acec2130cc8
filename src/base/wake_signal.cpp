#include "base/wake_signal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vireo {
namespace {

void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
  // SAFETY: the kernel takes the word by its address; an atomic of this size is nothing else.
  static_assert(sizeof(word) == sizeof(std::uint32_t) &&
                std::atomic<std::uint32_t>::is_always_lock_free);
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), operation, value, nullptr);
}

}  // namespace

void WakeSignal::raise() noexcept {
  if (word_.exchange(kRaised) == kAsleep) futex(word_, FUTEX_WAKE_PRIVATE, 1);
}

void WakeSignal::wait() noexcept {
  std::uint32_t seen = kClear;
  word_.compare_exchange_strong(seen, kAsleep);
  // The kernel sleeps only if nobody has raised it meanwhile, and may wake for no reason.
  while (!raised()) futex(word_, FUTEX_WAIT_PRIVATE, kAsleep);
}

}  // namespace vireo
