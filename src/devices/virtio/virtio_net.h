#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "backends/network/network_backend.h"
#include "devices/virtio/flow_table.h"
#include "devices/virtio/receive_filter.h"
#include "devices/virtio/virtio_model.h"
#include "devices/virtio/virtio_net_layout.h"

namespace vireo::devices::virtio {

/// What went through a network card since it was made.
struct NetworkCounters {
  std::uint64_t sent_frames = 0, sent_bytes = 0;  ///< by the guest, as it cut them
  std::uint64_t received_frames = 0, received_bytes = 0;
  std::uint64_t dropped = 0;  ///< frames of either direction that the card lost
  bool operator==(const NetworkCounters&) const = default;
};

/// A network card. Virtual I/O Device 1.2, 5.1. It has all offloads, whatever it is plugged into:
/// what the backend does not take, and what the driver did not ask for, is done here.
///
/// Frames for the guest go into its buffers on the backend's thread. Frames of the guest are taken
/// on the thread that serves the queue, copied once and then judged; a frame that cannot be one is
/// lost. While the backend has no room one frame waits here, and the others with the driver.
///
/// With several pairs of queues, frames for the guest go into the pair through which it sends those
/// of the same flow.
class VirtioNet final : public VirtioModel, private backends::NetworkReader {
 public:
  static constexpr std::uint16_t kQueueSize = 256;
  static constexpr unsigned kReceive = 0, kTransmit = 1;  ///< in each pair
  static constexpr unsigned kMostPairs = 8;

  /// 1 to kMostPairs. Backend and memory outlive it; it starts the backend, and stops it at its
  /// end.
  VirtioNet(backends::NetworkBackend& backend, memory::GuestMemory& memory,
            const backends::MacAddress& mac, unsigned pairs = 1);
  ~VirtioNet() override;

  VirtioKind kind() const override { return {1, 0x1000, 0x020000, "virtio-net"}; }
  unsigned queue_count() const override { return 2 * pairs_ + 1; }
  std::uint16_t queue_size() const override { return kQueueSize; }
  std::uint64_t features() const override;
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void write_config(std::uint64_t, std::span<const std::byte>) override {}
  void start(std::uint64_t features) override;
  void drain() override;
  void reset() override;
  void serve(Virtqueue& queue) override;
  bool serves_at_once() const override { return true; }
  /// From any thread; each number is right by itself.
  NetworkCounters counters() const;

 private:
  struct Outgoing {
    backends::FrameHeader header;
    std::size_t start, size;  ///< in outgoing_bytes_
  };

  // For the guest.
  bool receive(const backends::FrameHeader& header, std::span<const std::byte> frame) override;
  Virtqueue* receiver_of(std::span<const std::byte> frame) const;
  bool deliver_segments(Virtqueue& queue, const backends::FrameHeader& header,
                        std::span<const std::byte> frame);
  bool deliver(Virtqueue& queue, backends::FrameHeader header, std::span<const std::byte> frame);
  bool fill(backends::FrameHeader header, std::span<const std::byte> frame, std::size_t chains);
  bool can_receive(std::uint8_t segmentation) const;
  void serve_receive(Virtqueue& queue);

  // From the guest.
  void on_writable() override;
  void serve_transmit(Virtqueue& queue);
  void take_frame(Virtqueue& queue, const Chain& chain);
  bool can_send(std::uint8_t segmentation) const;
  void queue_outgoing(backends::FrameHeader header, std::span<std::byte> frame);
  bool send_outgoing();

  // What the driver wants.
  void serve_control(Virtqueue& queue);
  bool carry_out(std::uint8_t kind, std::uint8_t command, std::span<const std::byte> data);
  bool set_receive_mode(std::uint8_t command, bool on);
  bool set_tables(std::span<const std::byte> data);
  bool set_pairs(std::span<const std::byte> data);

  std::size_t header_bytes() const;
  /// How many pairs the driver may use; the queue behind them is for control.
  unsigned usable_pairs() const { return has(net::kMultiQueue) ? pairs_ : 1; }
  bool has(std::uint64_t feature) const { return (features_ & feature) != 0; }

  backends::NetworkBackend& backend_;
  memory::GuestMemory& memory_;
  const backends::MacAddress first_mac_;
  const unsigned pairs_;
  std::uint64_t features_ = 0;  ///< changes while no queue is known to receive() and serve()

  // Of whoever serves a queue: a frame, at the front of its vector, and what it became on its way
  // to the backend.
  std::vector<std::byte> frame_, outgoing_bytes_, segment_;
  std::vector<Outgoing> outgoing_;
  std::size_t sent_ = 0;  ///< of outgoing_
  FlowTable flows_;

  mutable std::mutex mac_mutex_;  // a leaf
  backends::MacAddress mac_;

  std::mutex transmit_mutex_;  // guards the pointers; the queues are told with it held
  std::vector<Virtqueue*> transmit_;

  /// Guards what follows. Taken before locks of queues, and held while the guest is interrupted.
  std::mutex receive_mutex_;
  std::vector<Virtqueue*> receive_;
  unsigned active_pairs_ = 1;       ///< as the driver wants it
  bool waits_for_buffers_ = false;  ///< the backend keeps a frame
  std::size_t delivered_ = 0;       ///< segments of that frame
  ReceiveFilter filter_;
  std::vector<std::byte> finished_;  ///< a frame, or a segment of one
  std::vector<Chain> chains_;
  std::vector<Done> done_;

  using Count = std::atomic<std::uint64_t>;
  static void add(Count& count, std::uint64_t more) {
    count.fetch_add(more, std::memory_order_relaxed);
  }
  Count sent_frames_ = 0, sent_bytes_ = 0, received_frames_ = 0, received_bytes_ = 0, dropped_ = 0;
};

}  // namespace vireo::devices::virtio
