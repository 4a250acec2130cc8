#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace vireo::backends {

using MacAddress = std::array<std::uint8_t, 6>;

/// An Ethernet header with a VLAN tag and the largest IP packet: no frame is longer.
inline constexpr std::size_t kMostFrameBytes = 18 + 65535;
/// Without checksum; shorter ones are no frames.
inline constexpr std::size_t kLeastFrameBytes = 14;

/// What goes with a frame: the work on it that its sender has left to others. As virtio network
/// devices (Virtual I/O Device 1.2, 5.1.6) and Linux's taps have it, little endian.
struct FrameHeader {
  // Flags.
  static constexpr std::uint8_t kNeedsChecksum = 1;  ///< the pseudo header's sum is in its place
  static constexpr std::uint8_t kChecksumValid = 2;  ///< somebody has checked it
  // Segmentation.
  static constexpr std::uint8_t kWhole = 0, kTcp4 = 1, kTcp6 = 4;
  static constexpr std::uint8_t kEcn = 0x80;  ///< besides the others: CWR belongs to the first

  std::uint8_t flags = 0;
  std::uint8_t segmentation = kWhole;
  std::uint16_t header_bytes = 0;     ///< before the payload; a hint
  std::uint16_t segment_bytes = 0;    ///< payload of each segment
  std::uint16_t checksum_start = 0;   ///< from where to sum up
  std::uint16_t checksum_offset = 0;  ///< where the sum belongs, behind checksum_start
  std::uint16_t buffers = 0;          ///< of the driver, that hold the frame

  bool operator==(const FrameHeader&) const = default;
};
static_assert(sizeof(FrameHeader) == 12);

}  // namespace vireo::backends
