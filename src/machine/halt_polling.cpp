#include "machine/halt_polling.h"

#include <sched.h>

#include <algorithm>

#include "base/host_time.h"

namespace vireo::machine {

unsigned BusyCpus::host_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(CPU_COUNT(&set), 1));
}

bool HaltPolling::poll(const WakeSignal& signal) {
  constexpr int kLooks = 16;  // between two at the clock
  gave_way_ = false;
  if (patience_ns_ == 0) return signal.raised();
  const std::uint64_t start = host_ns(CLOCK_MONOTONIC);
  for (std::uint64_t now = start, last = start;; last = now) {
    if (cpus_.crowded()) return signal.raised();
    for (int look = 0; look < kLooks; ++look) {
      if (signal.raised()) return true;
      __builtin_ia32_pause();
    }
    now = host_ns(CLOCK_MONOTONIC);
    gave_way_ = now - last > kGapNs;
    if (gave_way_ || now - start > patience_ns_) return signal.raised();
  }
}

void HaltPolling::note_sleep(std::uint64_t halted_ns) {
  const bool would_pay = halted_ns <= kMostNs && !gave_way_;
  patience_ns_ = would_pay                 ? std::clamp(2 * patience_ns_, kFirstNs, kMostNs)
                 : patience_ns_ > kFirstNs ? patience_ns_ / 2
                                           : 0;
}

}  // namespace vireo::machine
