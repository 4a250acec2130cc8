#pragma once
#include <functional>
#include <span>
#include <utility>

#include "devices/virtio/virtio_model.h"

namespace vireo::devices::virtio {

/// A source of random bytes. Virtual I/O Device 1.2, 5.4.
class VirtioEntropy final : public VirtioModel {
 public:
  /// Fills all of it, without waiting; called on the I/O thread.
  using Source = std::function<void(std::span<std::byte>)>;
  /// So much a request gets at most; the driver asks again for more.
  static constexpr std::size_t kMostBytes = 4096;

  VirtioEntropy(memory::GuestMemory& memory, Source source)
      : memory_(memory), source_(std::move(source)) {}

  VirtioKind kind() const override { return {4, 0x1005, 0x00ff00, "virtio-rng"}; }
  unsigned queue_count() const override { return 1; }
  std::uint16_t queue_size() const override { return 64; }
  std::uint64_t features() const override { return 0; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void write_config(std::uint64_t, std::span<const std::byte>) override {}
  void start(std::uint64_t) override {}
  void drain() override {}
  void reset() override {}
  void serve(Virtqueue& queue) override;

 private:
  memory::GuestMemory& memory_;
  const Source source_;
};

}  // namespace vireo::devices::virtio
