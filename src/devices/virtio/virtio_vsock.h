#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backends/vsock/socket_folder.h"
#include "base/event_loop.h"
#include "devices/virtio/virtio_model.h"
#include "devices/virtio/vsock_stream.h"

namespace vireo::devices::virtio {

/// Streams of bytes or of messages between programs of the host and of the guest, without a
/// network. Virtual I/O Device 1.2, 5.10. On the host they are Unix sockets in a folder: the
/// guest's connection to port P of the host goes to whom listens at `P`; a program that connects to
/// `connect`, or for messages to `connect-messages`, and says `CONNECT P` in a line is answered
/// `OK` and a number as soon as the guest has accepted at its port P.
///
/// All of it happens on the I/O thread, whose loop watches the sockets. What cannot be sent stays
/// with its sender: nothing is kept beyond the buffers of streams, and a driver that takes no
/// answers is not heard.
class VirtioVsock final : public VirtioModel {
 public:
  static constexpr std::uint16_t kQueueSize = 128;
  static constexpr unsigned kReceive = 0, kTransmit = 1;
  static constexpr std::size_t kMostStreams = 512, kMostClients = 32, kMostAnswers = 512;
  static constexpr std::uint32_t kFirstHostPort = 1 << 30;

  /// `guest_cid` is the guest's address, from 3 on. `loop` is the I/O thread's; it and `memory`
  /// outlive the device.
  VirtioVsock(std::unique_ptr<backends::SocketFolder> folder, std::uint32_t guest_cid,
              memory::GuestMemory& memory, EventLoop& loop);
  ~VirtioVsock() override;

  VirtioKind kind() const override { return {19, 0, 0x078000, "virtio-vsock"}; }
  unsigned queue_count() const override { return 3; }  // the third is for news that never come
  std::uint16_t queue_size() const override { return kQueueSize; }
  std::uint64_t features() const override {
    return vsock::kStreamFeature | vsock::kMessagesFeature;
  }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override;
  void write_config(std::uint64_t, std::span<const std::byte>) override {}
  void start(std::uint64_t features) override;
  void drain() override { const std::lock_guard lock(mutex_); }
  void reset() override;
  void serve(Virtqueue& queue) override;

  std::size_t streams() const;

 private:
  /// A stream is known by its two ports.
  struct Key {
    std::uint32_t host_port, guest_port;
    auto operator<=>(const Key&) const = default;
  };
  /// A packet without data for the guest.
  struct Answer {
    Key key;
    vsock::Operation operation;
    std::uint32_t flags;
    std::uint16_t type;
  };
  /// A program of the host that has not said yet where it wants to go.
  struct Client {
    UniqueFd socket;
    backends::SocketKind kind;
    std::string line;
  };

  // From the guest.
  void serve_transmit(Virtqueue& queue);
  void take_packet(Virtqueue& queue, const Chain& chain);
  void judge(const vsock::Header& header, const Chain& chain, Virtqueue& queue);
  void on_request(Key key, const vsock::Header& header);
  bool on_packet(VsockStream& stream, Key key, const vsock::Header& header, const Chain& chain,
                 Virtqueue& queue);
  bool on_data(VsockStream& stream, const vsock::Header& header, const Chain& chain,
               Virtqueue& queue);

  // From the host.
  void on_listener(backends::SocketKind kind);
  void on_client(int fd);
  bool begin(Client& client);
  void on_socket(Key key);
  void listen();
  void stop_listening();

  // For the guest.
  void answer(Key key, std::uint16_t type, vsock::Operation operation, std::uint32_t flags = 0);
  void pump();
  bool send_data(Key key, VsockStream& stream);
  bool send(vsock::Header header, std::span<const std::byte> data, std::uint32_t flags_of_last,
            std::size_t& sent);

  void advance(Key key, VsockStream& stream);
  void watch(Key key, VsockStream& stream);
  void remove(Key key, bool tell_guest);

  const std::unique_ptr<backends::SocketFolder> folder_;
  const std::uint64_t guest_cid_;
  memory::GuestMemory& memory_;
  EventLoop& loop_;

  /// Guards what follows. Taken before locks of queues, and held while the guest is interrupted.
  mutable std::mutex mutex_;
  Virtqueue *receive_ = nullptr, *transmit_ = nullptr;
  bool transmit_waits_ = false, listens_ = false;
  bool has_messages_ = false;  ///< the driver knows of them
  std::map<Key, VsockStream> streams_;
  std::map<int, Client> clients_;
  std::uint32_t next_port_ = kFirstHostPort;
  std::deque<Answer> answers_;
  std::deque<Key> ready_;  ///< streams that may have something for the guest, each in turn
  std::vector<Chain> chains_;
  std::vector<std::byte> data_;
};

}  // namespace vireo::devices::virtio
