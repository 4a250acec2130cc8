#include "devices/virtio/virtqueue.h"

#include <utility>

#include "devices/virtio/packed_ring.h"
#include "devices/virtio/split_ring.h"

namespace vireo::devices::virtio {

template <class Body>
auto Virtqueue::with_ring(Body body) {
  if (format_.packed) return body(PackedRing(memory_, state_, format_));
  return body(SplitRing(memory_, state_, format_));
}

/// To be called without the lock.
template <class T>
T Virtqueue::checked(const OrDriverError<T>& result, T otherwise) {
  if (result) return *result;
  refuse(result.error());
  return otherwise;
}

void Virtqueue::refuse(const DriverError& error) {
  stop();
  owner_.on_driver_error(error);
}

bool Virtqueue::take(Chain& chain) {
  const auto taken = [&]() -> OrDriverError<bool> {
    const std::lock_guard lock(mutex_);
    if (!running_ || held_) return false;
    if (!TRY(with_ring([&](auto ring) { return ring.take(chain); }))) return false;
    // A driver gets its descriptors back before it uses them again, so there is an end to what
    // can be under way.
    in_flight_ += chain.slots;
    if (in_flight_ > state_.size) return driver_error("more requests at once than the queue holds");
    return true;
  }();
  return checked(taken, false);
}

Virtqueue::Gathered Virtqueue::gather(std::uint64_t bytes, std::size_t most,
                                      std::vector<Chain>& chains, std::size_t& count) {
  const auto gathered = [&]() -> OrDriverError<Gathered> {
    const std::lock_guard lock(mutex_);
    if (!running_) return Gathered::kNever;
    if (held_) return Gathered::kWait;
    return with_ring([&](auto ring) -> OrDriverError<Gathered> {
      if (!std::exchange(suppressed_, true)) TRY(ring.suppress_notifications());
      const std::uint16_t before = state_.next_available;
      std::uint64_t room = 0;
      unsigned slots = 0;
      count = 0;
      while (room < bytes) {
        const bool full = count == most || in_flight_ + slots >= state_.size;
        if (count == chains.size()) chains.emplace_back();
        if (!full && TRY(ring.take(chains[count]))) {
          room += chains[count].writable_bytes();
          slots += chains[count++].slots;
        } else if (full || !TRY(ring.request_notification())) {
          state_.next_available = before;
          suppressed_ = full;
          return full ? Gathered::kNever : Gathered::kWait;
        }
      }
      in_flight_ += slots;
      if (in_flight_ > state_.size)
        return driver_error("more requests at once than the queue holds");
      return Gathered::kAll;
    });
  }();
  return checked(gathered, Gathered::kNever);
}

void Virtqueue::give_back(std::span<const Done> done) {
  const auto wanted = [&]() -> OrDriverError<bool> {
    const std::lock_guard lock(mutex_);
    if (!running_) return false;
    if (frozen_) {
      for (const Done& one : done) late_.push_back({*one.chain, one.written});
      return false;
    }
    for (const Done& one : done) in_flight_ -= one.chain->slots;
    return with_ring([&](auto ring) -> OrDriverError<bool> {
      TRY(ring.give_back(done));
      return ring.interrupt_wanted();
    });
  }();
  if (checked(wanted, false)) owner_.on_interrupt(index_);
}

void Virtqueue::suppress_notifications() {
  const auto done = [&]() -> OrDriverError<bool> {
    const std::lock_guard lock(mutex_);
    if (running_ && !held_) TRY(with_ring([](auto ring) { return ring.suppress_notifications(); }));
    return true;
  }();
  checked(done, false);
}

bool Virtqueue::request_notification() {
  const auto more = [&]() -> OrDriverError<bool> {
    const std::lock_guard lock(mutex_);
    if (!running_ || held_) return false;
    return with_ring([](auto ring) { return ring.request_notification(); });
  }();
  return checked(more, false);
}

QueueState Virtqueue::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

OrDriverError<> Virtqueue::enable(RingFormat format) {
  const std::lock_guard lock(mutex_);
  if (state_.enabled != 0) return {};
  QueueState ready = state_;
  ready.enabled = 1;
  format.packed ? PackedRing::start(ready) : SplitRing::start(ready);
  TRY(check_queue(ready, format, largest_));
  state_ = ready;
  return {};
}

void Virtqueue::run(RingFormat format) {
  const std::lock_guard lock(mutex_);
  format_ = format;
  suppressed_ = false;
  running_ = state_.enabled != 0;
}

void Virtqueue::stop() {
  const std::lock_guard lock(mutex_);
  running_ = false;
}

void Virtqueue::reset() {
  const std::lock_guard lock(mutex_);
  running_ = false;
  in_flight_ = 0;
  late_.clear();
  state_ = {};
  state_.size = largest_;
}

void Virtqueue::restore(const QueueState& state) {
  const std::lock_guard lock(mutex_);
  running_ = false;
  in_flight_ = 0;
  late_.clear();
  state_ = state;
}

void Virtqueue::hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void Virtqueue::freeze() {
  const std::lock_guard lock(mutex_);
  held_ = frozen_ = true;
}

void Virtqueue::resume() {
  std::vector<Late> late;
  {
    const std::lock_guard lock(mutex_);
    held_ = frozen_ = false;
    late.swap(late_);
  }
  for (const Late& one : late) give_back(one.chain, one.written);
}

}  // namespace vireo::devices::virtio
