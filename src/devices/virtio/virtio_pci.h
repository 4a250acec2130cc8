#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "bus/msi_sink.h"
#include "bus/pci_device.h"
#include "bus/window.h"
#include "devices/pci/msix.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtio_pci_access.h"

namespace vireo::devices::virtio {

/// What the PCI transport remembers besides the device, MSI-X and configuration space.
struct VirtioPciState {
  static constexpr std::uint16_t kNoVector = 0xffff;

  std::uint32_t device_feature_select = 0, driver_feature_select = 0;
  std::uint16_t queue_select = 0;
  std::uint16_t config_vector = kNoVector;
  std::array<std::uint16_t, VirtioState::kMostQueues> queue_vectors = no_vectors();
  std::uint8_t isr = 0;

  bool operator==(const VirtioPciState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [device_feature_select, driver_feature_select, queue_select, config_vector, queue_vectors,
           isr] = self;
    visit("device_feature_select", device_feature_select);
    visit("driver_feature_select", driver_feature_select);
    visit("queue_select", queue_select), visit("config_vector", config_vector);
    visit("queue_vectors", queue_vectors), visit("isr", isr);
  }

 private:
  static constexpr std::array<std::uint16_t, VirtioState::kMostQueues> no_vectors() {
    std::array<std::uint16_t, VirtioState::kMostQueues> vectors{};
    vectors.fill(kNoVector);
    return vectors;
  }
};

/// A virtio device as a PCI function, for drivers of before and after 1.0. Virtual I/O Device 1.2,
/// 4.1. Thread safe. One vector for each queue and one for the configuration.
class VirtioPci final : public bus::PciDevice, private VirtioInterrupts {
 public:
  // Base address registers and what is in them.
  static constexpr unsigned kLegacyBar = 0, kMsixBar = 1, kModernBar = 4;
  static constexpr std::uint64_t kLegacySize = 0x80, kModernSize = 0x4000;
  static constexpr std::uint64_t kCommon = 0x0000, kIsr = 0x1000, kConfig = 0x2000,
                                 kNotify = 0x3000, kRegionSize = 0x1000;
  static constexpr std::uint64_t kNotifyMultiplier = 4;

  /// All of them outlive it.
  VirtioPci(VirtioModel& model, memory::GuestMemory& memory, bus::MsiSink& messages,
            VirtioDevice::Post post);

  VirtioDevice& device() { return device_; }

  struct State {
    VirtioState device;
    VirtioPciState transport;
    MsixState msix;
    bool operator==(const State&) const = default;
    static void fields(auto& self, auto&& visit) {
      auto& [device, transport, msix] = self;
      visit("device", device), visit("transport", transport), visit("msix", msix);
    }
  };
  /// Nothing may be under way, and no virtual CPU may run.
  State state() const;
  /// Before configuration space is restored.
  Result<> restore(const State& state);

 private:
  void define_region(std::uint8_t type, std::uint64_t offset, std::uint64_t size,
                     std::optional<std::uint32_t> extra);
  // VirtioInterrupts
  void queue_interrupt(unsigned queue) override;
  void config_interrupt() override;
  void raise(std::uint16_t vector, std::uint8_t isr_bit);
  // PciDevice
  void on_config_written(unsigned offset, unsigned size) override;
  void on_reset() override;

  void read_modern(std::uint64_t offset, std::span<std::byte> data);
  void write_modern(std::uint64_t offset, std::span<const std::byte> data);
  void read_common(std::uint64_t offset, std::span<std::byte> data);
  void write_common(std::uint64_t offset, std::uint32_t value, std::size_t size);
  void write_queue(std::uint64_t offset, std::uint32_t value);
  void read_legacy(std::uint64_t offset, std::span<std::byte> data);
  void write_legacy(std::uint64_t offset, std::span<const std::byte> data);
  void write_legacy_register(std::uint64_t offset, std::uint32_t value);
  void set_legacy_queue(std::uint32_t page);
  std::uint64_t legacy_config() const;

  VirtioPciState transport() const;
  std::uint8_t take_isr();
  void set_status(std::uint8_t status);
  void set_vector(std::uint16_t& vector, std::uint32_t value);
  void notify(std::uint64_t queue);
  /// The queue that the driver selected, if there is one.
  std::optional<unsigned> selected() const;

  bus::Window<VirtioPci> legacy_{*this, &VirtioPci::read_legacy, &VirtioPci::write_legacy};
  bus::Window<VirtioPci> modern_{*this, &VirtioPci::read_modern, &VirtioPci::write_modern};
  Msix msix_;
  VirtioPciAccess access_;
  mutable std::mutex mutex_;  // before that of configuration space; the device is called without
  VirtioPciState state_;
  VirtioDevice device_;  // last: its end waits for what is under way, which may interrupt
};

}  // namespace vireo::devices::virtio
