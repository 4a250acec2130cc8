#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/network/network_backend.h"
#include "base/result.h"

namespace vireo::backends {

/// A port of the host that leads to one of the guest.
struct PortForward {
  bool udp = false;
  std::string host_address = "127.0.0.1";  ///< IPv4, where the host listens
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
  bool operator==(const PortForward&) const = default;
};

/// A private network with the guest alone in it, 10.0.2.0/24 and fec0::/64, whose other end is this
/// process: it answers DHCP (10.0.2.15), is the router and the host (10.0.2.2), passes DNS on
/// (10.0.2.3), and opens sockets of the host for what the guest connects to. Needs no privileges.
///
/// A frame of the guest is worked off by who sends it, and what it is answered comes to the reader
/// before send() returns; if the network's own thread is just at work, it waits for that in a queue
/// with an end. What comes from the host is that thread's. While the guest has no buffers no socket
/// of the host is read, so that what is under way waits where it comes from.
///
/// Ignores SIGPIPE for the process, unless somebody handles it.
Result<std::unique_ptr<NetworkBackend>> open_user_network(std::vector<PortForward> forwards);

}  // namespace vireo::backends
