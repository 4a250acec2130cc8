#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "devices/virtio/pci_driver_world.h"

namespace vireo::devices::virtio {

/// All queues of a device as split rings of 16, one behind the other in memory from kBegin on.
class DriverQueues {
 public:
  static constexpr std::uint16_t kSize = 16;
  static constexpr std::uint64_t kBegin = 0x4000, kStride = 0x3000;

  /// Both outlive it.
  DriverQueues(PciDriver& driver, DriverMemory& world) : driver_(driver), world_(world) {}

  /// From a reset to a device that runs.
  void start(std::uint64_t features) {
    const unsigned count = driver_.card->device().queue_count();
    rings_.clear();
    for (std::uint64_t at = kBegin; at < kBegin + count * kStride; at += 8)
      world_.put(at, std::uint64_t{0});
    ASSERT_TRUE(driver_.negotiate(features));
    for (std::uint16_t i = 0; i < count; ++i) {
      rings_.push_back(std::make_unique<SplitDriver>(world_, kSize, kBegin + kStride * i));
      driver_.set_up_queue(i, rings_.back()->set_up(), 0);
    }
    driver_.go();
    driver_.run_posted();
  }
  SplitDriver& operator[](unsigned queue) { return *rings_.at(queue); }
  void offer(unsigned queue, const std::vector<DriverBuffer>& buffers) {
    (*this)[queue].offer(buffers);
    driver_.notify(queue);
    driver_.run_posted();
  }

 private:
  PciDriver& driver_;
  DriverMemory& world_;
  std::vector<std::unique_ptr<SplitDriver>> rings_;
};

}  // namespace vireo::devices::virtio
