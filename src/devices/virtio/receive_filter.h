#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backends/network/frame_header.h"

namespace vireo::devices::virtio {

/// Which frames a driver wants to see, by where they go. Virtual I/O Device 1.2, 5.1.6.5.1 and
/// 5.1.6.5.2. Until the driver says otherwise it gets all: one without a control queue cannot.
struct ReceiveFilter {
  /// So many addresses are told apart; a longer table means all.
  static constexpr std::size_t kMostAddresses = 64;

  bool promiscuous = true;
  bool all_groups = false, all_single = false;
  bool no_groups = false, no_single = false, no_broadcast = false;
  std::vector<backends::MacAddress> single, groups;       ///< besides the card's own
  bool too_many_single = false, too_many_groups = false;  ///< for the tables

  /// `frame` holds at least its destination.
  bool wants(std::span<const std::byte> frame, const backends::MacAddress& own) const {
    if (promiscuous) return true;
    backends::MacAddress to{};
    std::ranges::transform(frame.first(to.size()), to.begin(),
                           [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
    if (std::ranges::all_of(to, [](std::uint8_t byte) { return byte == 0xff; }))
      return !no_broadcast;
    if ((to[0] & 1) != 0)
      return !no_groups && (all_groups || too_many_groups || contains(groups, to));
    return !no_single && (all_single || too_many_single || to == own || contains(single, to));
  }

 private:
  static bool contains(const std::vector<backends::MacAddress>& table,
                       const backends::MacAddress& address) {
    return std::ranges::find(table, address) != table.end();
  }
};

}  // namespace vireo::devices::virtio
