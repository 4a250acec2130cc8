#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "bus/access_split.h"
#include "bus/pci_bus.h"
#include "devices/virtio/driver_world.h"
#include "devices/virtio/virtio_pci.h"

namespace vireo::devices::virtio {

/// Counts messages, and lets the driver sleep until the next.
struct Messages final : bus::MsiSink {
  void send_msi(std::uint64_t, std::uint32_t) override {
    const std::lock_guard lock(mutex);
    ++count;
    arrived.notify_all();
  }
  /// False if none came for a long time.
  bool wait(std::uint64_t& seen) {
    std::unique_lock lock(mutex);
    const bool came =
        arrived.wait_for(lock, std::chrono::seconds(60), [&] { return count > seen; });
    seen = count;
    return came;
  }
  std::mutex mutex;
  std::condition_variable arrived;
  std::uint64_t count = 0;
};

/// A PCI bus with one virtio function in slot 3, and what a driver does with it. Tasks for the I/O
/// thread wait until run_posted(), unless `post` says otherwise.
struct PciDriver {
  static constexpr std::uint32_t kModern = 0xe0000000, kMsixTable = 0xe1000000;
  static constexpr std::uint16_t kLegacy = 0xc000;

  struct Sink final : bus::MsiSink {
    void send_msi(std::uint64_t, std::uint32_t data) override { sent.push_back(data); }
    std::vector<std::uint32_t> sent;
  };
  struct Pirqs final : bus::PirqSink {
    void set_pirq(unsigned, bool high) override { level = high; }
    bool level = false;
  };

  /// The model outlives it.
  PciDriver(VirtioModel& model, memory::GuestMemory& memory, bus::MsiSink* messages = nullptr)
      : card(std::make_unique<VirtioPci>(
            model, memory, messages ? *messages : sink,
            [this](std::function<void()> task) { post(std::move(task)); })) {
    EXPECT_TRUE(pci.add(3, 0, *card));
    config_put(0x10, kLegacy);
    config_put(0x14, kMsixTable);
    config_put(0x20, kModern);
    config_put(0x04, 0x7, 2);
  }

  std::uint32_t config_get(unsigned offset, std::size_t size = 4) {
    std::array<std::byte, 4> data{};
    pci.config_read(3 << 11 | offset, std::span(data).first(size));
    return static_cast<std::uint32_t>(bus::to_number(data));
  }
  void config_put(unsigned offset, std::uint32_t value, std::size_t size = 4) {
    std::array<std::byte, 4> data{};
    bus::from_number(data, value);
    pci.config_write(3 << 11 | offset, std::span(data).first(size));
  }
  template <class T>
  T load(std::uint64_t address) {
    std::array<std::byte, sizeof(T)> data{};
    mmio.read(address, data);
    return static_cast<T>(bus::to_number(data));
  }
  template <class T>
  void store(std::uint64_t address, T value) {
    std::array<std::byte, sizeof(T)> data{};
    bus::from_number(data, value);
    mmio.write(address, data);
  }
  template <class T>
  T common(std::uint64_t offset) {
    return load<T>(kModern + VirtioPci::kCommon + offset);
  }
  template <class T>
  void set_common(std::uint64_t offset, T value) {
    store(kModern + VirtioPci::kCommon + offset, value);
  }
  template <class T>
  T in(std::uint64_t offset) {
    std::array<std::byte, sizeof(T)> data{};
    pio.read(kLegacy + offset, data);
    return static_cast<T>(bus::to_number(data));
  }
  template <class T>
  void out(std::uint64_t offset, T value) {
    std::array<std::byte, sizeof(T)> data{};
    bus::from_number(data, value);
    pio.write(kLegacy + offset, data);
  }

  /// All vectors unmasked, with 0x40 + their number as data.
  void enable_msix() {
    for (unsigned i = 0; i <= card->device().queue_count(); ++i) {
      store<std::uint32_t>(kMsixTable + 16 * i, 0xfee00000);
      store<std::uint32_t>(kMsixTable + 16 * i + 8, 0x40 + i);
      store<std::uint32_t>(kMsixTable + 16 * i + 12, 0);
    }
    config_put(0x42, 0x8000, 2);  // MSI-X is the first capability
  }
  std::uint64_t offered() {
    set_common<std::uint32_t>(0, 0);
    const std::uint64_t low = common<std::uint32_t>(4);
    set_common<std::uint32_t>(0, 1);
    return std::uint64_t{common<std::uint32_t>(4)} << 32 | low;
  }
  /// Up to FEATURES_OK; false if the device does not agree.
  bool negotiate(std::uint64_t features) {
    set_common<std::uint8_t>(20, 0);
    set_common<std::uint8_t>(20, 3);
    set_common<std::uint32_t>(8, 0);
    set_common(12, static_cast<std::uint32_t>(features));
    set_common<std::uint32_t>(8, 1);
    set_common(12, static_cast<std::uint32_t>(features >> 32));
    set_common<std::uint8_t>(20, 0xb);
    return (common<std::uint8_t>(20) & status::kFeaturesOk) != 0;
  }
  void set_up_queue(std::uint16_t index, const QueueState& queue, std::uint16_t vector) {
    set_common(22, index);
    set_common(24, queue.size);
    set_common(26, vector);
    set_common(32, queue.descriptors);
    set_common(40, queue.driver_area);
    set_common(48, queue.device_area);
    set_common<std::uint16_t>(28, 1);
  }
  void go() { set_common<std::uint8_t>(20, 0xf); }
  void notify(unsigned queue) {
    store<std::uint16_t>(kModern + VirtioPci::kNotify + 4 * queue,
                         static_cast<std::uint16_t>(queue));
  }
  void run_posted() {
    while (!posted.empty()) {
      const auto task = std::move(posted.front());
      posted.pop_front();
      task();
    }
  }

  Sink sink;
  Pirqs pirqs;
  bus::AddressMap mmio, pio;
  bus::PciBus pci{mmio, pio, pirqs};
  std::deque<std::function<void()>> posted;
  VirtioDevice::Post post = [this](std::function<void()> task) {
    posted.push_back(std::move(task));
  };
  std::unique_ptr<VirtioPci> card;
};

}  // namespace vireo::devices::virtio
