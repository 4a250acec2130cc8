#include "devices/virtio/virtio_device.h"

#include <utility>

#include "base/assert.h"
#include "devices/virtio/virtio_bits.h"

namespace vireo::devices::virtio {

VirtioDevice::VirtioDevice(VirtioModel& model, memory::GuestMemory& memory,
                           VirtioInterrupts& interrupts, Post post)
    : model_(model), interrupts_(interrupts), post_(std::move(post)) {
  const unsigned count = model.queue_count();
  VIREO_ASSERT(count >= 1 && count <= VirtioState::kMostQueues);
  QueueOwner& owner = *this;
  for (unsigned i = 0; i < count; ++i) queues_.emplace_back(memory, owner, i, model.queue_size());
  model_.connect([this] { on_config_changed(); });
}

VirtioDevice::~VirtioDevice() {
  model_.connect({});
  reset();
}

std::uint64_t VirtioDevice::offered_features() const {
  return model_.features() | feature::kVersion1 | feature::kIndirect | feature::kEventIndex |
         feature::kPacked | feature::kAnyLayout;
}

std::uint64_t VirtioDevice::driver_features() const {
  const std::lock_guard lock(mutex_);
  return driver_features_;
}

void VirtioDevice::set_driver_features(std::uint32_t half, std::uint32_t bits) {
  const std::lock_guard lock(mutex_);
  if (half > 1 || (status_ & (status::kFeaturesOk | status::kDriverOk)) != 0) return;
  const unsigned shift = half * 32;
  driver_features_ &= ~(std::uint64_t{0xffffffff} << shift);
  driver_features_ |= std::uint64_t{bits} << shift;
}

/// A driver that says FEATURES_OK is one of 1.0 or later.
bool VirtioDevice::acceptable(std::uint64_t features) const {
  return (features & ~offered_features()) == 0 && (features & feature::kVersion1) != 0;
}

RingFormat VirtioDevice::format_of(std::uint64_t features) {
  return {(features & feature::kPacked) != 0, (features & feature::kIndirect) != 0,
          (features & feature::kEventIndex) != 0};
}

std::uint8_t VirtioDevice::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

const char* VirtioDevice::driver_error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void VirtioDevice::set_status(std::uint8_t status) {
  const std::lock_guard work(work_mutex_);
  if (status == 0) return reset_locked();
  status &= static_cast<std::uint8_t>(~status::kNeedsReset);  // the device's alone
  bool starts = false;
  {
    const std::lock_guard lock(mutex_);
    const std::uint8_t before = status_;
    const bool agreed = (before & status::kFeaturesOk) != 0;
    if ((status & status::kFeaturesOk) != 0 && !agreed && !acceptable(driver_features_))
      status &= static_cast<std::uint8_t>(~status::kFeaturesOk);
    status_ = before | status;  // only a reset clears bits
    starts = (status_ & ~before & status::kDriverOk) != 0 && (before & status::kNeedsReset) == 0;
    // Without FEATURES_OK it is a driver of before 1.0, which has the lower half only.
    if (starts && (status_ & status::kFeaturesOk) == 0)
      driver_features_ &= offered_features() & 0xffffffff;
  }
  if (!starts) return;
  start();
  for (Virtqueue& queue : queues_) begin(queue);
}

/// With work_mutex_ held, as what follows.
void VirtioDevice::start() {
  const std::uint64_t features = driver_features();
  model_.start(features);
  for (Virtqueue& queue : queues_) queue.run(format_of(features));
}

/// The first look at a queue. Before the driver's next notification, if that is served at once.
void VirtioDevice::begin(Virtqueue& queue) {
  model_.serves_at_once() ? model_.serve(queue) : wake(queue.index());
}

void VirtioDevice::stop_queues() {
  for (Virtqueue& queue : queues_) queue.stop();
}

void VirtioDevice::reset_locked() {
  stop_queues();  // what is still under way is dropped
  model_.drain();
  model_.reset();
  const std::lock_guard lock(mutex_);
  for (Virtqueue& queue : queues_) queue.reset();
  status_ = 0;
  driver_features_ = 0;
  error_ = nullptr;
}

void VirtioDevice::reset() {
  const std::lock_guard work(work_mutex_);
  reset_locked();
}

void VirtioDevice::enable_queue(unsigned index) {
  const std::lock_guard work(work_mutex_);
  const RingFormat format = format_of(driver_features());
  if (const auto enabled = queues_[index].enable(format); !enabled)
    return on_driver_error(enabled.error());
  const std::uint8_t now = status();
  if ((now & status::kDriverOk) == 0 || (now & status::kNeedsReset) != 0) return;
  queues_[index].run(format);
  begin(queues_[index]);
}

void VirtioDevice::disable_queue(unsigned index) {
  const std::lock_guard work(work_mutex_);
  queues_[index].stop();
  model_.drain();
  queues_[index].reset();
}

void VirtioDevice::notify(unsigned index) {
  notifications_.fetch_add(1, std::memory_order_relaxed);
  if (model_.serves_at_once()) {
    const std::unique_lock work(work_mutex_, std::try_to_lock);
    if (work) return model_.serve(queues_[index]);
  }
  wake(index);
}

void VirtioDevice::wake(unsigned index) {
  if (notified_.fetch_or(std::uint64_t{1} << index) == 0) post_([this] { serve_notified(); });
}

void VirtioDevice::serve_notified() {
  const std::lock_guard work(work_mutex_);
  const std::uint64_t notified = notified_.exchange(0);
  for (Virtqueue& queue : queues_) {
    if ((notified >> queue.index() & 1) != 0) model_.serve(queue);
  }
}

void VirtioDevice::pause() {
  const std::lock_guard work(work_mutex_);
  for (Virtqueue& queue : queues_) queue.hold();
  model_.settle();
  for (Virtqueue& queue : queues_) queue.freeze();
}

void VirtioDevice::resume() {
  const std::lock_guard work(work_mutex_);
  for (Virtqueue& queue : queues_) queue.resume();
  if ((status() & (status::kDriverOk | status::kNeedsReset)) != status::kDriverOk) return;
  for (const Virtqueue& queue : queues_) wake(queue.index());
}

VirtioCounters VirtioDevice::counters() const {
  return {notifications_.load(std::memory_order_relaxed), raised_.load(std::memory_order_relaxed)};
}

void VirtioDevice::on_interrupt(unsigned queue) {
  raised_.fetch_add(1, std::memory_order_relaxed);
  interrupts_.queue_interrupt(queue);
}

void VirtioDevice::raise_config_interrupt() {
  raised_.fetch_add(1, std::memory_order_relaxed);
  interrupts_.config_interrupt();
}

/// From whatever thread met the mistake; work_mutex_ may be held or not.
void VirtioDevice::on_driver_error(const DriverError& error) {
  bool running = false;
  {
    const std::lock_guard lock(mutex_);
    if ((status_ & status::kNeedsReset) != 0) return;
    status_ |= status::kNeedsReset;
    error_ = error.what;
    running = (status_ & status::kDriverOk) != 0;
  }
  stop_queues();
  if (running) raise_config_interrupt();
}

void VirtioDevice::on_config_changed() {
  if ((status() & status::kDriverOk) != 0) raise_config_interrupt();
}

VirtioState VirtioDevice::state() const {
  VirtioState result;
  const std::lock_guard lock(mutex_);
  result.status = status_;
  result.driver_features = driver_features_;
  for (const Virtqueue& queue : queues_) result.queues.at(queue.index()) = queue.state();
  return result;
}

Result<> VirtioDevice::check(const VirtioState& state) const {
  const char* const name = model_.kind().name;
  if ((state.status & status::kFeaturesOk) != 0 && !acceptable(state.driver_features))
    return usage_error("the saved {} has features that this one lacks", name);
  for (unsigned i = 0; i < VirtioState::kMostQueues; ++i) {
    const QueueState& queue = state.queues.at(i);
    if (i >= queues_.size() && queue != QueueState{})
      return usage_error("the saved {} has more queues than this one", name);
    if (queue.enabled == 0) continue;
    if (const auto good =
            check_queue(queue, format_of(state.driver_features), queues_[i].largest());
        !good || queue.enabled > 1)
      return usage_error("the saved {} has an impossible queue {}", name, i);
  }
  return {};
}

Result<> VirtioDevice::restore(const VirtioState& state) {
  TRY(check(state));
  const std::lock_guard work(work_mutex_);
  reset_locked();
  {
    const std::lock_guard lock(mutex_);
    status_ = state.status;
    driver_features_ = state.driver_features;
    for (Virtqueue& queue : queues_) queue.restore(state.queues.at(queue.index()));
  }
  if ((state.status & (status::kDriverOk | status::kNeedsReset)) != status::kDriverOk) return {};
  start();
  for (const Virtqueue& queue : queues_) wake(queue.index());
  return {};
}

}  // namespace vireo::devices::virtio
