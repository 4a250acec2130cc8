#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <span>

namespace vireo::devices::virtio {

/// Which flow a frame is of, a small number: the same for both directions of a TCP or UDP stream.
/// Frames that are no IP, and what cannot be told apart, are one flow.
unsigned flow_of(std::span<const std::byte> frame);

/// Which pair of queues a guest uses for each flow, as learned from what it sends. Virtual I/O
/// Device 1.2, 5.1.6.5.5.1. Thread safe.
class FlowTable {
 public:
  static constexpr unsigned kFlows = 256;

  /// The frame was sent through this pair.
  void learn(std::span<const std::byte> frame, unsigned pair) {
    pairs_[flow_of(frame)].store(static_cast<std::uint8_t>(pair), std::memory_order_relaxed);
  }
  /// The pair for a frame to the guest; the first for flows that nothing is known of.
  unsigned pair_of(std::span<const std::byte> frame) const {
    return pairs_[flow_of(frame)].load(std::memory_order_relaxed);
  }
  void forget() {
    for (auto& pair : pairs_) pair.store(0, std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint8_t>, kFlows> pairs_{};
};

}  // namespace vireo::devices::virtio
