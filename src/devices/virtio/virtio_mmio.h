#pragma once
#include <cstdint>
#include <mutex>
#include <optional>

#include "bus/bus_device.h"
#include "bus/irq_line.h"
#include "devices/virtio/virtio_device.h"

namespace vireo::devices::virtio {

/// What the memory-mapped transport remembers besides the device.
struct VirtioMmioState {
  std::uint32_t device_feature_select = 0, driver_feature_select = 0;
  std::uint32_t queue_select = 0;
  std::uint32_t interrupt_status = 0;

  bool operator==(const VirtioMmioState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [device_feature_select, driver_feature_select, queue_select, interrupt_status] = self;
    visit("device_feature_select", device_feature_select);
    visit("driver_feature_select", driver_feature_select);
    visit("queue_select", queue_select), visit("interrupt_status", interrupt_status);
  }
};

/// A virtio device behind a window of memory and one interrupt line, for machines without PCI.
/// Virtual I/O Device 1.2, 4.2. For drivers since 1.0 alone. Thread safe.
class VirtioMmio final : public bus::BusDevice, private VirtioInterrupts {
 public:
  static constexpr std::uint64_t kWindowSize = 0x1000;

  /// All of them outlive it.
  VirtioMmio(VirtioModel& model, memory::GuestMemory& memory, bus::IrqLine& line,
             VirtioDevice::Post post);

  /// Registers are 32 bits wide; other accesses to them read as zero and are dropped. The device
  /// configuration from 0x100 on takes any.
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  void reset();

  VirtioDevice& device() { return device_; }

  struct State {
    VirtioState device;
    VirtioMmioState transport;
    bool operator==(const State&) const = default;
    static void fields(auto& self, auto&& visit) {
      auto& [device, transport] = self;
      visit("device", device), visit("transport", transport);
    }
  };
  /// Nothing may be under way, and no virtual CPU may run.
  State state() const;
  Result<> restore(const State& state);

 private:
  void queue_interrupt(unsigned queue) override;
  void config_interrupt() override;
  void raise(std::uint32_t bit);

  std::uint32_t read_register(std::uint64_t offset) const;
  void write_register(std::uint64_t offset, std::uint32_t value);
  void write_queue(std::uint64_t offset, std::uint32_t value);
  VirtioMmioState transport() const;
  /// The queue that the driver selected, if there is one.
  std::optional<unsigned> selected() const;

  bus::IrqLine& line_;
  mutable std::mutex mutex_;  // before that of the line; the device is called without
  VirtioMmioState state_;
  VirtioDevice device_;  // last: its end waits for what is under way, which may interrupt
};

}  // namespace vireo::devices::virtio
