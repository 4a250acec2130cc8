#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "bus/access_split.h"
#include "bus/pci_bus.h"
#include "devices/virtio/virtio_bits.h"
#include "devices/virtio/virtio_pci.h"
#include "fuzz/fuzz_input.h"
#include "memory/guest_memory.h"

namespace vireo::test {

/// A driver of a virtio device on PCI, with split or packed rings. It knows the order of things, so
/// that the input gets far; what is in its descriptors may be anything.
class PciDriver {
 public:
  using VirtioPci = devices::virtio::VirtioPci;
  static constexpr std::uint64_t kRings = 0x1000, kRingBytes = 0x3000;
  static constexpr std::uint64_t kData = 0x10000;  ///< from here on requests have their buffers
  static constexpr std::uint32_t kModern = 0xe0000000, kMsix = 0xe1000000;
  static constexpr std::uint16_t kLegacy = 0xc000;

  /// At most 5 queues. All of it outlives the driver.
  PciDriver(devices::virtio::VirtioModel& model, memory::GuestMemory& memory,
            devices::virtio::VirtioDevice::Post post)
      : memory_(memory),
        card_(model, memory, sink_, std::move(post)),
        queues_(model.queue_count()) {
    VIREO_ASSERT(pci_.add(3, 0, card_));
    config(0x10, kLegacy);
    config(0x14, kMsix);
    config(0x20, kModern);
    config(0x04, 0x7);
  }

  /// From a reset to a device that runs. `features` are those below bit 32.
  void start(std::uint32_t features, bool packed, std::uint16_t size) {
    packed_ = packed;
    size_ = size;
    poke<std::uint8_t>(kModern + 20, 3);
    poke<std::uint32_t>(kModern + 8, 0);
    poke<std::uint32_t>(kModern + 12, features);
    poke<std::uint32_t>(kModern + 8, 1);
    poke<std::uint32_t>(kModern + 12, packed ? 5 : 1);
    poke<std::uint8_t>(kModern + 20, 0xb);
    for (unsigned i = 0; i < queues_.size(); ++i) {
      poke(kModern + 22, static_cast<std::uint16_t>(i));
      poke<std::uint16_t>(kModern + 24, size);
      poke<std::uint64_t>(kModern + 32, ring(i));
      poke<std::uint64_t>(kModern + 40, ring(i) + 0x1000);
      poke<std::uint64_t>(kModern + 48, ring(i) + 0x2000);
      poke<std::uint16_t>(kModern + 28, 1);
    }
    poke<std::uint8_t>(kModern + 20, 0xf);
  }
  bool needs_reset() {
    return (card_.device().status() & devices::virtio::status::kNeedsReset) != 0;
  }
  /// After it nothing is left of what was.
  void reset() {
    poke<std::uint8_t>(kModern + 20, 0);
    VIREO_ASSERT(card_.device().status() == 0);
    for (std::uint64_t at = kRings; at < ring(queues()); at += 8) put(at, std::uint64_t{0});
    for (Queue& queue : queues_) queue = {};
  }
  unsigned queues() const { return static_cast<unsigned>(queues_.size()); }

  /// The next descriptor of a request.
  void describe(unsigned queue, std::uint64_t address, std::uint32_t length, bool write, bool next,
                std::uint16_t more = 0) {
    namespace descriptor = devices::virtio::descriptor;
    Queue& q = queues_[queue];
    const std::uint64_t slot = ring(queue) + 16 * (q.at % size_);
    const bool wrap = q.at / size_ % 2 == 0;
    ++q.at;
    unsigned flags = (write ? descriptor::kWrite : 0u) | (next ? descriptor::kNext : 0u) | more;
    put(slot, address);
    put(slot + 8, length);
    if (packed_) {
      flags |= wrap ? descriptor::kAvailable : descriptor::kUsed;
      put(slot + 12, static_cast<std::uint16_t>(q.at));
      put(slot + 14, static_cast<std::uint16_t>(flags));
    } else {
      put(slot + 12, static_cast<std::uint16_t>(flags));
      put(slot + 14, static_cast<std::uint16_t>(q.at % size_));
    }
  }
  /// The request that was described last, and a notification.
  void make_available(unsigned queue) {
    Queue& q = queues_[queue];
    if (!packed_) {
      put(ring(queue) + 0x1004 + 2 * (q.available % size_), q.head);
      put(ring(queue) + 0x1002, ++q.available);
    }
    q.head = static_cast<std::uint16_t>(q.at % size_);
    poke(kModern + VirtioPci::kNotify + 4 * queue, static_cast<std::uint16_t>(queue));
  }
  /// How many descriptors there have been.
  std::uint64_t described(unsigned queue) const { return queues_[queue].at; }

  /// An access of any kind to a register; `before_write` may prepare for what a write can do.
  void access(bus::AddressMap& map, std::uint64_t address, FuzzInput& input,
              const std::function<void()>& before_write = {}) {
    const auto how = input.take<std::uint8_t>();
    std::array<std::byte, 8> data{};
    const auto part = std::span(data).first(std::size_t{1} << (how & 3));
    if ((how & 4) != 0) return map.read(address, part);
    bus::from_number(data, input.take<std::uint64_t>());
    if (before_write) before_write();
    map.write(address, part);
  }
  bus::AddressMap& mmio() { return mmio_; }
  bus::AddressMap& pio() { return pio_; }
  template <class T>
  void poke(std::uint64_t address, T value) {
    std::array<std::byte, sizeof(T)> data{};
    bus::from_number(data, value);
    mmio_.write(address, data);
  }
  void config(std::uint32_t offset, std::uint32_t value) {
    std::array<std::byte, 4> data{};
    bus::from_number(data, value);
    pci_.config_write(3 << 11 | (offset & 0xfc), data);
  }
  template <class T>
  void put(std::uint64_t address, T value) {
    memory_.write_value(PhysAddr{address}, value);
  }

 private:
  struct Queue {
    std::uint64_t at = 0;
    std::uint16_t head = 0, available = 0;
  };
  struct Sink final : bus::MsiSink {
    void send_msi(std::uint64_t, std::uint32_t) override {}
  };
  struct Pirqs final : bus::PirqSink {
    void set_pirq(unsigned, bool) override {}
  };
  static std::uint64_t ring(unsigned queue) { return kRings + queue * kRingBytes; }

  memory::GuestMemory& memory_;
  bus::AddressMap mmio_, pio_;
  Sink sink_;
  Pirqs pirqs_;
  bus::PciBus pci_{mmio_, pio_, pirqs_};
  VirtioPci card_;
  bool packed_ = false;
  std::uint16_t size_ = 16;
  std::vector<Queue> queues_;
};

}  // namespace vireo::test
