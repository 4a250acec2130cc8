#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backends/block/block_backend.h"
#include "devices/virtio/virtio_model.h"

namespace vireo::devices::virtio {

/// A disk. Virtual I/O Device 1.2, 5.2. Requests go to the backend as they come, in any number up
/// to the size of the queues; data goes straight between the backend and guest memory.
class VirtioBlock final : public VirtioModel {
 public:
  static constexpr std::uint16_t kQueueSize = 512;
  static constexpr std::uint64_t kSector = 512;
  static constexpr std::size_t kSerialBytes = 20;

  struct Config {
    unsigned queues = 1;
    std::string serial;  ///< the first kSerialBytes count
  };

  /// Both outlive it.
  VirtioBlock(backends::BlockBackend& backend, memory::GuestMemory& memory, Config config);
  ~VirtioBlock() override;

  VirtioKind kind() const override { return {2, 0x1001, 0x010000, "virtio-blk"}; }
  unsigned queue_count() const override { return config_.queues; }
  std::uint16_t queue_size() const override { return kQueueSize; }
  std::uint64_t features() const override;
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void write_config(std::uint64_t, std::span<const std::byte>) override {}
  void start(std::uint64_t features) override;
  void drain() override;
  void reset() override {}
  void serve(Virtqueue& queue) override;

 private:
  struct Request;
  struct Range;

  void begin(Request& request);
  void begin_transfer(Request& request, bool write, std::uint64_t sector);
  void begin_ranges(Request& request, backends::BlockOperation operation);
  bool read_ranges(Request& request);
  void tell_serial(Request& request);
  void submit(Request& request, backends::BlockOperation operation, std::uint64_t offset,
              std::uint64_t length, bool may_unmap);
  void on_done(Request& request, bool failed);
  void finish(Request& request, std::uint8_t status, std::uint64_t filled);
  void release(Request& request);
  Request& acquire();
  bool in_disk(std::uint64_t sector, std::uint64_t bytes) const;

  backends::BlockBackend& backend_;
  memory::GuestMemory& memory_;
  const Config config_;
  std::atomic<bool> write_through_ = false;  ///< the driver does not know of flushing

  std::mutex mutex_;  // guards what follows; nothing is called with it held
  std::condition_variable idle_;
  unsigned under_way_ = 0;
  std::vector<std::unique_ptr<Request>> requests_;  // all there are
  std::vector<Request*> free_;
};

}  // namespace vireo::devices::virtio
