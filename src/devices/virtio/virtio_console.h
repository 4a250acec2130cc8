#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "backends/character/char_backend.h"
#include "devices/virtio/virtio_console_layout.h"
#include "devices/virtio/virtio_model.h"

namespace vireo::devices::virtio {

/// A console, and channels with names, each plugged into a character backend. Virtual I/O
/// Device 1.2, 5.3. Port 0 is the console's, whether there is one or not; without channels the
/// device has no other and does without the queues that speak of ports.
///
/// Input comes on the event thread and goes into the driver's buffers at once; what finds none
/// waits with the backend, and what comes before a driver is there, or while the console is closed,
/// is lost, so that the keys which end a machine always count. Output is written by a thread of its
/// own: a stuck terminal holds up nobody but those who write there.
class VirtioConsole final : public VirtioModel {
 public:
  static constexpr std::uint16_t kQueueSize = 128;
  static constexpr std::size_t kMostChannels = 30;

  struct Channel {
    backends::CharBackend* backend;
    std::string name;  ///< by which the guest finds it
  };
  /// `console` may be null. At most kMostChannels. All of it outlives the device, which is its
  /// reader from here on.
  VirtioConsole(backends::CharBackend* console, const std::vector<Channel>& channels,
                memory::GuestMemory& memory);
  ~VirtioConsole() override;

  VirtioKind kind() const override { return {3, 0x1003, 0x078000, "virtio-console"}; }
  unsigned queue_count() const override;
  std::uint16_t queue_size() const override { return kQueueSize; }
  std::uint64_t features() const override;
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void write_config(std::uint64_t, std::span<const std::byte>) override {}
  void start(std::uint64_t features) override;
  void drain() override;
  /// What is written is only read, and may wait for long.
  void settle() override { const std::lock_guard lock(mutex_); }
  void reset() override;
  void serve(Virtqueue& queue) override;

 private:
  struct Port {
    backends::CharBackend* backend;  ///< null: there is no such port
    std::string name;
    Virtqueue* receive = nullptr;
    bool open = false;  ///< in the guest
  };
  /// What the guest has written.
  struct Output {
    Chain chain;
    Virtqueue* queue;
    backends::CharBackend* backend;
  };

  bool has_channels() const { return ports_.size() > 1; }
  bool takes_input(std::size_t port) const;
  std::size_t receive(std::size_t port, std::span<const std::uint8_t> bytes);
  void serve_transmit(Virtqueue& queue, Port* port);
  void serve_control(Virtqueue& queue);
  void judge(const console::Control& message);
  void open_port(std::size_t number, bool open);
  void say(std::size_t port, console::Event event, std::uint16_t value = 1);
  void pump_control();
  void write_outputs();
  void write(const Output& output);

  memory::GuestMemory& memory_;

  /// Guards what follows. Taken before locks of queues, and held while the guest is interrupted.
  mutable std::mutex mutex_;
  std::vector<Port> ports_;
  bool multiple_ = false;  ///< the driver knows of further ports
  Virtqueue *control_receive_ = nullptr, *control_transmit_ = nullptr;
  std::deque<console::Control> messages_;  ///< for the guest
  std::vector<Chain> chains_;

  std::mutex output_mutex_;  // guards what follows; a leaf
  std::condition_variable output_changed_, output_idle_;
  std::deque<Output> outputs_;
  bool writing_ = false, dropping_ = false, ending_ = false;

  std::thread writer_;
};

}  // namespace vireo::devices::virtio
