#include "backends/network/limited_backend.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "backends/network/wake_event.h"

namespace vireo::backends {
namespace {

using Clock = std::chrono::steady_clock;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
      .count();
}

}  // namespace

void LimitedBackend::start(NetworkReader& reader) {
  reader_ = &reader;
  stopping_ = false;
  thread_ = start_quiet_thread([this] { run(); });
  NetworkReader& self = *this;
  inner_->start(self);
}

void LimitedBackend::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  inner_->stop();
}

bool LimitedBackend::may_pass(Lane& lane) {
  const std::lock_guard lock(mutex_);
  if (lane.bucket.ready(now_ns())) return true;
  lane.waits = true;
  changed_.notify_all();
  return false;
}

void LimitedBackend::passed(Lane& lane, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  lane.bucket.charge(bytes);
}

bool LimitedBackend::send(const FrameHeader& header, std::span<const std::byte> frame) {
  if (!may_pass(out_) || !inner_->send(header, frame)) return false;
  passed(out_, frame.size());
  return true;
}

bool LimitedBackend::receive(const FrameHeader& header, std::span<const std::byte> frame) {
  if (!may_pass(in_) || !reader_->receive(header, frame)) return false;
  passed(in_, frame.size());
  return true;
}

void LimitedBackend::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!out_.waits && !in_.waits) {
      changed_.wait(lock);
      continue;
    }
    std::int64_t next = INT64_MAX;
    if (out_.waits) next = std::min(next, out_.bucket.ready_at());
    if (in_.waits) next = std::min(next, in_.bucket.ready_at());
    changed_.wait_until(lock, Clock::time_point(std::chrono::nanoseconds(next)));
    const std::int64_t now = now_ns();
    const bool writable = out_.waits && out_.bucket.ready(now);
    const bool readable = in_.waits && in_.bucket.ready(now);
    if (writable) out_.waits = false;
    if (readable) in_.waits = false;
    lock.unlock();
    if (writable) reader_->on_writable();
    if (readable) inner_->resume();
    lock.lock();
  }
}

}  // namespace vireo::backends
