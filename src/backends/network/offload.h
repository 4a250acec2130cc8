#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "backends/network/frame_header.h"

/// The work that a frame's header says is left to do. Pure functions; frames and headers come from
/// guests and may lie.
namespace vireo::backends {

/// A frame shall not become tens of thousands.
inline constexpr std::uint16_t kLeastSegmentBytes = 48;

/// Whether the work can be done: all that the header names is within the frame, and what is to be
/// segmented is TCP over the IP that it says, with its checksum left to do as well.
bool sound(const FrameHeader& header, std::span<const std::byte> frame);

/// Sums up what has to be, for a sound frame of any length; it is whole then.
void finish_checksum(FrameHeader& header, std::span<std::byte> frame);

/// Calls `emit` with each segment of a sound frame that is to be segmented, finished and in order,
/// from number `first` on, until it answers false. `scratch` holds the segment.
void segment(const FrameHeader& header, std::span<const std::byte> frame, std::size_t first,
             std::vector<std::byte>& scratch,
             const std::function<bool(std::span<const std::byte>)>& emit);

/// Makes a finished TCP frame of any length one that is to be segmented so that each segment is an
/// IP packet of at most `mtu` bytes, and changes its checksum into what such a frame has. Empty,
/// and nothing is changed, if it is no TCP.
std::optional<FrameHeader> leave_to_segment(std::span<std::byte> frame, std::uint16_t mtu);

/// Calls `emit` with each fragment, of at most `mtu` bytes of IP, of a finished IPv4 frame of any
/// length that is not itself a fragment. `scratch` holds the fragment. False if it is no such
/// frame.
bool fragment(std::span<const std::byte> frame, std::uint16_t mtu, std::vector<std::byte>& scratch,
              const std::function<void(std::span<const std::byte>)>& emit);

}  // namespace vireo::backends
