#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace vireo::devices::virtio {

/// Bytes of the guest on their way to a socket of the host: a stream, or messages, each of which
/// goes when all of it is there. Guarded by its owner.
class VsockOutgoing {
 public:
  explicit VsockOutgoing(bool messages) : messages_(messages) {}

  /// Whatever is kept.
  std::size_t bytes() const { return data_.size() - start_; }
  /// There is something that the socket should take.
  bool waits() const { return messages_ ? !ends_.empty() : bytes() != 0; }
  /// `ends_message` counts for messages only. Empty ones are none.
  void put(std::span<const std::byte> data, bool ends_message);
  /// The rest of a message will never come.
  void drop_unfinished();
  /// Gives the socket what it takes without waiting: how many bytes, or nothing if it is broken.
  std::optional<std::uint32_t> flush(int socket);

 private:
  void forget_what_went();

  bool messages_;
  std::vector<std::byte> data_;
  std::size_t start_ = 0;
  std::deque<std::size_t> ends_;  ///< of whole messages, the bytes of each
  std::size_t unfinished_ = 0;    ///< bytes of the message that has no end yet
};

}  // namespace vireo::devices::virtio
