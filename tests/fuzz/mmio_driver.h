#pragma once
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "bus/access_split.h"
#include "bus/irq_line.h"
#include "devices/virtio/virtio_bits.h"
#include "devices/virtio/virtio_mmio.h"
#include "memory/guest_memory.h"

namespace vireo::test {

/// A driver of a virtio device behind a window of memory: split rings of 64, one descriptor a
/// request, in the order in which they are offered. It knows the order of things, so that the
/// input gets far; what is in its requests may be anything.
class MmioDriver {
 public:
  static constexpr std::uint64_t kRings = 0x1000, kRingBytes = 0x3000;
  static constexpr std::uint64_t kData = 0x40000;  ///< from here on requests have their buffers
  static constexpr std::uint16_t kSize = 64;

  /// At most 21 queues.
  MmioDriver(devices::virtio::VirtioModel& model, memory::GuestMemory& memory,
             devices::virtio::VirtioDevice::Post post)
      : memory_(memory),
        card_(model, memory, line_, std::move(post)),
        features_(static_cast<std::uint32_t>(model.features())),
        heads_(model.queue_count()) {}

  /// From a reset to a device that runs.
  void start() {
    poke(0x70, 0);
    for (std::uint64_t at = kRings; at < kRings + heads_.size() * kRingBytes; at += 8)
      put(at, std::uint64_t{0});
    poke(0x70, 3);
    poke(0x24, 0);
    poke(0x20, features_);
    poke(0x24, 1);
    poke(0x20, 1);
    poke(0x70, 0xb);
    for (std::uint32_t queue = 0; queue < heads_.size(); ++queue) {
      heads_[queue] = 0;
      const std::uint64_t base = kRings + queue * kRingBytes;
      poke(0x30, queue);
      poke(0x38, kSize);
      poke(0x80, static_cast<std::uint32_t>(base));
      poke(0x90, static_cast<std::uint32_t>(base + 0x1000));
      poke(0xa0, static_cast<std::uint32_t>(base + 0x2000));
      poke(0x44, 1);
    }
    poke(0x70, 0xf);
  }
  /// As a driver does once a mistake has stopped the device.
  void start_again_if_needed() {
    std::array<std::byte, 4> status{};
    card_.read(0x70, status);
    if ((bus::to_number(status) & devices::virtio::status::kNeedsReset) != 0) start();
  }
  void reset() { card_.reset(); }

  void offer(std::size_t queue, std::uint64_t address, std::uint32_t length, bool write) {
    const std::uint64_t base = kRings + queue * kRingBytes;
    const std::uint16_t head = heads_.at(queue) % kSize;
    put(base + 16u * head, address);
    put(base + 16u * head + 8, length);
    put(base + 16u * head + 12, write ? devices::virtio::descriptor::kWrite : std::uint16_t{0});
    put(base + 0x1004 + 2u * head, head);
    put(base + 0x1002, ++heads_.at(queue));
    poke(0x50, static_cast<std::uint32_t>(queue));
  }
  void poke(std::uint64_t offset, std::uint32_t value) {
    std::array<std::byte, 4> data{};
    bus::from_number(data, value);
    card_.write(offset, data);
  }
  template <class T>
  void put(std::uint64_t address, T value) {
    memory_.write_value(PhysAddr{address}, value);
  }
  std::size_t queues() const { return heads_.size(); }

 private:
  struct Line final : bus::IrqLine {
    void set_level(bool) override {}
  };

  memory::GuestMemory& memory_;
  Line line_;
  devices::virtio::VirtioMmio card_;
  const std::uint32_t features_;
  std::vector<std::uint16_t> heads_;
};

}  // namespace vireo::test
