#pragma once
#include <array>
#include <cstdint>

/// Numbers of virtio network cards. Virtual I/O Device 1.2, 5.1.
namespace vireo::devices::virtio::net {

// Features. 5.1.3.
inline constexpr std::uint64_t kChecksum = 1 << 0;  ///< the card finishes checksums
inline constexpr std::uint64_t kGuestChecksum = 1 << 1;
inline constexpr std::uint64_t kMac = 1 << 5;
inline constexpr std::uint64_t kGuestTso4 = 1 << 7;
inline constexpr std::uint64_t kGuestTso6 = 1 << 8;
inline constexpr std::uint64_t kGuestEcn = 1 << 9;
inline constexpr std::uint64_t kHostTso4 = 1 << 11;
inline constexpr std::uint64_t kHostTso6 = 1 << 12;
inline constexpr std::uint64_t kHostEcn = 1 << 13;
inline constexpr std::uint64_t kMergeBuffers = 1 << 15;
inline constexpr std::uint64_t kStatus = 1 << 16;
inline constexpr std::uint64_t kControlQueue = 1 << 17;
inline constexpr std::uint64_t kControlReceive = 1 << 18;
inline constexpr std::uint64_t kControlReceiveExtra = 1 << 20;
inline constexpr std::uint64_t kMultiQueue = 1 << 22;
inline constexpr std::uint64_t kControlMac = 1 << 23;

/// The device configuration. 5.1.4.
struct ConfigSpace {
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t status = 0;
  std::uint16_t queue_pairs = 0;
  std::uint16_t mtu = 0;
};
static_assert(sizeof(ConfigSpace) == 12);
inline constexpr std::uint16_t kLinkUp = 1;

// Requests in the control queue, and their answers. 5.1.6.5.
inline constexpr std::uint8_t kReceiveClass = 0, kMacClass = 1, kQueuesClass = 4;
inline constexpr std::uint8_t kPromiscuous = 0, kAllGroups = 1, kAllSingle = 2;
inline constexpr std::uint8_t kNoGroups = 3, kNoSingle = 4, kNoBroadcast = 5;
inline constexpr std::uint8_t kSetTables = 0, kSetAddress = 1;
inline constexpr std::uint8_t kSetPairs = 0;
inline constexpr std::uint8_t kOk = 0, kError = 1;

}  // namespace vireo::devices::virtio::net
