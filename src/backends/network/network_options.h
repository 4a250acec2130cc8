#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/network/frame_header.h"
#include "backends/network/user_network.h"
#include "base/result.h"

namespace vireo::backends {

/// A network card and what it is plugged into, as a user asks for it.
struct NetworkOptions {
  enum class Kind : std::uint8_t { kUser, kSwitch, kTap };
  Kind kind = Kind::kUser;
  std::string name;                   ///< of the switch; of the tap, or fd:N
  std::vector<PortForward> forwards;  ///< kUser
  std::optional<MacAddress> mac;
  std::string pcap;                    ///< file name; empty: none
  std::uint64_t bytes_per_second = 0;  ///< in each direction; 0: no limit
  bool operator==(const NetworkOptions&) const = default;
};

/// `user[,forward=tcp|udp:[ADDRESS:]HOSTPORT:GUESTPORT]...`, `switch=NAME`, `tap=IFNAME` or
/// `tap=fd:N`, each with `[,mac=XX:XX:XX:XX:XX:XX][,rate=Nkbit|Mbit|Gbit][,pcap=FILE]`. Empty for
/// `none`. Errors are usage errors.
Result<std::optional<NetworkOptions>> parse_network(std::string_view text);

}  // namespace vireo::backends
