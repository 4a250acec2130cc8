#pragma once
#include <cstdint>

/// Numbers of virtio socket devices. Virtual I/O Device 1.2, 5.10.
namespace vireo::devices::virtio::vsock {

inline constexpr std::uint64_t kHostCid = 2;
inline constexpr std::uint64_t kStreamFeature = 1, kMessagesFeature = 2;  // 5.10.3
// The type of a socket. Messages are what Unix calls SOCK_SEQPACKET.
inline constexpr std::uint16_t kStream = 1, kMessages = 2;

enum class Operation : std::uint16_t {
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kData = 5,
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

// Flags of kShutdown: what its sender does no more.
inline constexpr std::uint32_t kReceivesNoMore = 1, kSendsNoMore = 2;
// Of kData with the last bytes of a message.
inline constexpr std::uint32_t kEndOfMessage = 1;

/// What each packet begins with. 5.10.6.
struct Header {
  std::uint64_t source_cid = 0, destination_cid = 0;
  std::uint32_t source_port = 0, destination_port = 0;
  std::uint32_t length = 0;  ///< of what follows, bytes
  std::uint16_t type = kStream;
  Operation operation{};
  std::uint32_t flags = 0;
  std::uint32_t buffer_bytes = 0;     ///< of the sender for this stream
  std::uint32_t forwarded_bytes = 0;  ///< that have left this buffer, modulo 2^32
};
inline constexpr std::size_t kHeaderBytes = 44;
static_assert(sizeof(Header) >= kHeaderBytes && offsetof(Header, forwarded_bytes) == 40);

}  // namespace vireo::devices::virtio::vsock
