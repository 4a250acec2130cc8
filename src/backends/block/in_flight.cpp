#include "backends/block/in_flight.h"

namespace vireo::backends {

InFlight::Era InFlight::begin() {
  const std::lock_guard lock(mutex_);
  ++running_[now_];
  return now_;
}

void InFlight::end(Era era) {
  // Told under the lock: who waits may destroy this as soon as it has the lock.
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(era);
  if (--found->second != 0) return;
  running_.erase(found);
  changed_.notify_all();
}

void InFlight::drain() {
  std::unique_lock lock(mutex_);
  const Era last = now_++;
  changed_.wait(lock, [&] { return running_.empty() || running_.begin()->first > last; });
}

}  // namespace vireo::backends
