#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "devices/virtio/virtio_balloon_layout.h"
#include "devices/virtio/virtio_model.h"

namespace vireo::devices::virtio {

/// A balloon: memory that the guest does without goes back to the host. Virtual I/O
/// Device 1.2, 5.5. It is as large as somebody wants it to be, if the guest agrees, and the guest
/// may take memory back when it runs out of it. Pages that the guest reports as free go back at
/// once, whatever the size.
class VirtioBalloon final : public VirtioModel {
 public:
  static constexpr std::uint16_t kQueueSize = 128;
  static constexpr std::size_t kMostPagesAtOnce = 16384, kMostStatistics = 64;

  /// `memory` outlives it.
  VirtioBalloon(memory::GuestMemory& memory, std::uint64_t wanted_bytes);
  ~VirtioBalloon() override = default;

  // From any thread.
  /// How large it shall be, in whole pages of 4 KiB. The guest hears of it and does what it can.
  void set_wanted(std::uint64_t bytes);
  std::uint64_t wanted_bytes() const;
  /// How large it is, as the guest says.
  std::uint64_t actual_bytes() const;
  /// What pages have gone back to the host, all together.
  std::uint64_t discarded_bytes() const;
  /// Asks the guest for its statistics anew; they come when it answers.
  void request_statistics();
  /// The latest, by tag (5.5.6.4): free memory is 4, available memory 6, and so on, in bytes.
  std::map<std::uint16_t, std::uint64_t> statistics() const;

  VirtioKind kind() const override { return {5, 0x1002, 0x00ff00, "virtio-balloon"}; }
  unsigned queue_count() const override { return 4; }
  std::uint16_t queue_size() const override { return kQueueSize; }
  std::uint64_t features() const override {
    return balloon::kStatistics | balloon::kDeflateOnOom | balloon::kPageReporting;
  }
  void connect(std::function<void()> config_changed) override;
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void write_config(std::uint64_t offset, std::span<const std::byte> data) override;
  void start(std::uint64_t features) override;
  void drain() override;
  void settle() override {}  ///< a buffer for statistics may stay here
  void reset() override;
  void serve(Virtqueue& queue) override;

 private:
  void serve_inflate(Virtqueue& queue);
  void serve_reports(Virtqueue& queue);
  void serve_statistics(Virtqueue& queue);
  void discard(std::uint64_t address, std::uint64_t size);
  void return_statistics_buffer();

  memory::GuestMemory& memory_;

  // The I/O thread's.
  unsigned statistics_queue_ = 0, reporting_queue_ = 0;  ///< as agreed on; 0: none
  std::vector<std::uint32_t> pages_;

  mutable std::mutex mutex_;  // guards what follows; a leaf
  std::function<void()> config_changed_;
  balloon::ConfigSpace config_;
  std::uint64_t discarded_ = 0;
  std::map<std::uint16_t, std::uint64_t> statistics_;
  /// The buffer for statistics, which the device keeps until it wants new ones.
  std::optional<Chain> statistics_buffer_;
  Virtqueue* statistics_owner_ = nullptr;
};

}  // namespace vireo::devices::virtio
