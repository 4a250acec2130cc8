#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

#include "base/result.h"
#include "devices/virtio/virtio_model.h"

namespace vireo::devices::virtio {

/// How a transport interrupts the driver. Callable from any thread; never calls back.
class VirtioInterrupts {
 public:
  virtual ~VirtioInterrupts() = default;
  virtual void queue_interrupt(unsigned queue) = 0;
  virtual void config_interrupt() = 0;
};

/// What went between a driver and its device.
struct VirtioCounters {
  std::uint64_t notifications = 0;  ///< of the driver
  std::uint64_t interrupts = 0;     ///< of the device
};

/// What a device remembers, whatever its kind and transport.
struct VirtioState {
  static constexpr unsigned kMostQueues = 64;

  std::uint8_t status = 0;
  std::uint64_t driver_features = 0;
  std::array<QueueState, kMostQueues> queues;

  bool operator==(const VirtioState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [status, driver_features, queues] = self;
    visit("status", status), visit("driver_features", driver_features);
    visit("queues", queues);
  }
};

/// The part of a virtio device between its transport and its model: status, features, queues, and
/// the hand-over from virtual CPUs to the I/O thread, where there is one. Virtual I/O Device 1.2, 2
/// and 3. Thread safe.
///
/// A mistake of the driver sets DEVICE_NEEDS_RESET and stops all queues until the next reset.
class VirtioDevice final : private QueueOwner {
 public:
  /// Runs a task on the I/O thread, soon.
  using Post = std::function<void(std::function<void()>)>;

  /// All of them outlive it. Tasks that were posted may run as long as it lives, not longer.
  VirtioDevice(VirtioModel& model, memory::GuestMemory& memory, VirtioInterrupts& interrupts,
               Post post);
  ~VirtioDevice() override;

  VirtioModel& model() { return model_; }
  const VirtioModel& model() const { return model_; }
  std::uint64_t offered_features() const;
  std::uint64_t driver_features() const;
  /// One half of them, 0 the lower; ignored once they are agreed on.
  void set_driver_features(std::uint32_t half, std::uint32_t bits);

  std::uint8_t status() const;
  /// Zero resets the device, and waits for what is under way.
  void set_status(std::uint8_t status);
  /// Why DEVICE_NEEDS_RESET was set; null if it was not.
  const char* driver_error() const;

  unsigned queue_count() const { return static_cast<unsigned>(queues_.size()); }
  /// `index` is below queue_count(), as in all that follows.
  const Virtqueue& queue(unsigned index) const { return queues_[index]; }
  template <class Change>
  void configure_queue(unsigned index, Change change) {
    queues_[index].configure(change);
  }
  void enable_queue(unsigned index);
  /// For drivers of before 1.0, which take a queue back by itself.
  void disable_queue(unsigned index);
  /// The driver has put something into the queue. Waits for nothing, but serves the queue if that
  /// is the model's way; without a lock that completions or interrupts take.
  void notify(unsigned index);

  /// Queues are not served from here on, and nothing in guest memory changes, until resume(). Waits
  /// for requests under way. No virtual CPU runs; they do not nest.
  void pause();
  void resume();

  /// Since it was made; from any thread.
  VirtioCounters counters() const;

  void reset();
  /// Nothing may be under way, and no virtual CPU may run.
  VirtioState state() const;
  Result<> restore(const VirtioState& state);

 private:
  void on_interrupt(unsigned queue) override;
  void on_driver_error(const DriverError& error) override;
  void on_config_changed();
  void on_unfinished(unsigned queue) override { wake(queue); }
  void wake(unsigned index);
  void raise_config_interrupt();
  bool acceptable(std::uint64_t features) const;
  Result<> check(const VirtioState& state) const;
  static RingFormat format_of(std::uint64_t features);
  void start();
  void begin(Virtqueue& queue);
  void stop_queues();
  void reset_locked();
  void serve_notified();

  // Wiring.
  VirtioModel& model_;
  VirtioInterrupts& interrupts_;
  const Post post_;

  std::atomic<std::uint64_t> notified_ = 0;  ///< a bit per queue that the I/O thread shall look at
  std::atomic<std::uint64_t> notifications_ = 0, raised_ = 0;  ///< as VirtioCounters has them
  /// Held while queues are served, and while the device starts or stops. Taken first.
  std::mutex work_mutex_;
  mutable std::mutex mutex_;  // guards what follows; before those of queues
  std::uint8_t status_ = 0;
  std::uint64_t driver_features_ = 0;
  const char* error_ = nullptr;
  std::deque<Virtqueue> queues_;  // the number never changes
};

}  // namespace vireo::devices::virtio
