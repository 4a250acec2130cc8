#pragma once
#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "backends/share/file_server.h"
#include "devices/virtio/virtio_model.h"

namespace vireo::devices::virtio {

/// A shared folder, under a tag by which the guest mounts it. Virtual I/O Device 1.2, 5.17 (device
/// 9, "9P transport"). Each request is a message of 9P2000.L and room for its answer.
///
/// The I/O thread only takes requests. Threads of the device's own carry them out, several at a
/// time, begun in the order in which they came; messages are copied once and then judged.
class Virtio9p final : public VirtioModel {
 public:
  static constexpr std::uint16_t kQueueSize = 128;
  static constexpr unsigned kThreads = 4;
  static constexpr std::size_t kMostTagBytes = 255;

  /// `tag` has 1 to kMostTagBytes; `memory` outlives it.
  Virtio9p(std::unique_ptr<backends::SharedFolder> folder, std::string tag,
           memory::GuestMemory& memory);
  ~Virtio9p() override;

  VirtioKind kind() const override { return {9, 0x1009, 0x018000, "virtio-9p"}; }
  unsigned queue_count() const override { return 1; }
  std::uint16_t queue_size() const override { return kQueueSize; }
  std::uint64_t features() const override { return 1; }  ///< it has a tag
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void write_config(std::uint64_t, std::span<const std::byte>) override {}
  void start(std::uint64_t) override {}
  void drain() override;
  void reset() override { server_.reset(); }
  void serve(Virtqueue& queue) override;

  const backends::FileServer& server() const { return server_; }

 private:
  struct Request;
  struct Header;

  void work();
  bool begin(Request& request);
  void carry_out(Request& request, std::vector<std::byte>& message, std::vector<std::byte>& answer);
  void end(Request& request);
  void answer_flush(Request& request);
  void give_back(Request& request, std::span<const std::byte> answer);
  Request& acquire();
  void release(Request& request);

  memory::GuestMemory& memory_;
  const std::string tag_;
  backends::FileServer server_;

  std::mutex mutex_;  // guards what follows; held while the head of a message is read, else a leaf
  std::condition_variable changed_, idle_;
  bool ending_ = false;
  unsigned under_way_ = 0;
  std::deque<Request*> waiting_;
  std::map<std::uint16_t, Request*> by_tag_;        // begun, and not flushes
  std::vector<std::unique_ptr<Request>> requests_;  // all there are
  std::vector<Request*> free_;

  std::array<std::thread, kThreads> threads_;
};

}  // namespace vireo::devices::virtio
