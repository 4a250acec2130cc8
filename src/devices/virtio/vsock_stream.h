#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "devices/virtio/virtio_vsock_layout.h"
#include "devices/virtio/vsock_outgoing.h"

namespace vireo::devices::virtio {

/// One connection between a socket of the host and one of the guest: bytes or messages on their
/// way, and what each side may still send. Moves them to and from the host's socket without
/// waiting. Guarded by its owner.
class VsockStream {
 public:
  /// So much the guest may send before it is taken by the host's program.
  static constexpr std::uint32_t kBufferBytes = 128 << 10;
  static constexpr std::size_t kStagedBytes = 32 << 10;
  static constexpr std::size_t kLongestMessage = 1 << 20;  ///< of the host's program

  enum class State : std::uint8_t { kRequested, kOpen };
  /// `type` as packets have it.
  VsockStream(UniqueFd socket, State state, std::uint16_t type)
      : type_(type),
        state_(state),
        socket_(std::move(socket)),
        outgoing_(type == vsock::kMessages) {}

  std::uint16_t type() const { return type_; }
  State state() const { return state_; }
  int socket() const { return socket_.get(); }
  // For its owner.
  EventLoop::Ready watched;  ///< what the socket is watched for
  bool queued = false;       ///< it waits for its turn

  // From the guest.
  /// The credit that each packet brings.
  void learn(const vsock::Header& header) {
    peer_bytes_ = header.buffer_bytes;
    peer_forwarded_ = header.forwarded_bytes;
  }
  /// False if it is more than the guest may send, or if it said that it would send no more.
  bool put(std::span<const std::byte> data, std::uint32_t flags);
  void shut_down(std::uint32_t flags);
  /// The guest accepts. False if the client of the host is gone.
  bool accepted(std::uint32_t host_port);

  // For the guest.
  /// What the host has sent and the guest may be sent now.
  std::span<const std::byte> ready() const;
  /// The flags of a packet that brings all that is ready.
  std::uint32_t flags_of_last() const;
  void sent(std::size_t bytes);

  /// Moves what can be moved. False if the host's end is broken.
  bool move();
  /// What to wait for before more can be moved.
  EventLoop::Ready interest() const;
  /// The host sends no more, and the guest has all of it. Once true it is said once.
  bool ended_now();
  /// Nothing can come any more in either direction.
  bool over() const;
  /// The guest should hear of its credit: once true it is taken to be told.
  bool credit_is_news();
  /// What each packet to the guest says of credit.
  void tell(vsock::Header& header);

 private:
  std::uint32_t credit() const;
  bool flush();
  bool fill();
  bool fill_message();
  bool fill_nothing();
  /// Takes what is next from the host's socket. False if that is broken.
  bool receive(std::size_t most);

  const std::uint16_t type_;
  State state_;
  UniqueFd socket_;

  // To the host.
  VsockOutgoing outgoing_;
  std::uint32_t forwarded_ = 0, told_forwarded_ = 0;
  bool guest_sends_no_more_ = false, host_told_end_ = false;

  // To the guest.
  std::vector<std::byte> staged_;  ///< one message, if there are messages
  std::size_t staged_start_ = 0;
  std::uint32_t peer_bytes_ = 0, peer_forwarded_ = 0, sent_ = 0;
  bool guest_takes_no_more_ = false, guest_told_end_ = false;
  bool host_ended_ = false;  ///< seen only when nothing is staged
};

}  // namespace vireo::devices::virtio
