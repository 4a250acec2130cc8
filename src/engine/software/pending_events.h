#pragma once
#include <signal.h>

#include <atomic>
#include <cstdint>

namespace vireo::engine {

/// What other threads want from a running vCPU. One word, looked at on entry to every block of
/// guest code; that is the only cost of an interrupt that does not come.
class PendingEvents {
 public:
  static constexpr std::uint32_t kKick = 1, kInterrupt = 2, kNmi = 4, kStaleCode = 8,
                                 kStop = 16;  ///< only to leave the threaded code

  /// From any thread. NMIs are counted: one may be in service and another wait.
  void raise_nmi() noexcept {
    nmis_.fetch_add(1, std::memory_order_relaxed);
    raise(kNmi);
  }
  std::uint32_t take_nmis() noexcept { return nmis_.exchange(0, std::memory_order_relaxed); }
  /// From any thread.
  void raise(std::uint32_t events) noexcept {
    word_.fetch_or(events);
    if (const pid_t process = process_.load(); process != 0) ::kill(process, kSignal);
  }
  /// While the vCPU's code runs in another process, which cannot look: it is sent kSignal as well.
  /// To be set before the word is looked at for the last time; 0: there is none.
  void set_process(pid_t process) noexcept { process_.store(process); }
  static constexpr int kSignal = SIGUSR1;
  bool any() const noexcept { return word_.load(std::memory_order_relaxed) != 0; }
  /// Takes what is there; the caller handles all of it.
  std::uint32_t take() noexcept { return any() ? word_.exchange(0, std::memory_order_acquire) : 0; }

 private:
  std::atomic<std::uint32_t> word_{0};
  std::atomic<pid_t> process_{0};
  std::atomic<std::uint32_t> nmis_{0};
};

}  // namespace vireo::engine
