#include "backends/network/open_network.h"

#include <sys/random.h>

#include <utility>

#include "backends/network/captured_backend.h"
#include "backends/network/limited_backend.h"
#include "backends/network/switch_port.h"
#include "backends/network/tap_port.h"

namespace vireo::backends {
namespace {

Result<std::unique_ptr<NetworkBackend>> open_backend(const NetworkOptions& options) {
  switch (options.kind) {
    case NetworkOptions::Kind::kSwitch:
      return open_switch_port(TRY(SwitchFolder::open()), options.name);
    case NetworkOptions::Kind::kTap:
      return open_tap(options.name);
    case NetworkOptions::Kind::kUser:
      break;
  }
  return open_user_network(options.forwards);
}

/// Of those that nobody sells: bit 1 of the first byte.
MacAddress default_mac(NetworkOptions::Kind kind, unsigned index) {
  MacAddress mac{
      0x02, 'V', 'R', 0, static_cast<std::uint8_t>(index >> 8), static_cast<std::uint8_t>(index)};
  if (kind != NetworkOptions::Kind::kUser) {
    while (::getrandom(&mac[3], 3, 0) != 3) {
    }
  }
  return mac;
}

}  // namespace

Result<NetworkPart> open_network(const NetworkOptions& options, unsigned index) {
  NetworkPart part;
  part.mac = options.mac.value_or(default_mac(options.kind, index));
  part.backend = TRY(open_backend(options));
  if (options.bytes_per_second != 0) {
    part.backend =
        std::make_unique<LimitedBackend>(std::move(part.backend), options.bytes_per_second);
  }
  if (!options.pcap.empty()) {
    part.backend = std::make_unique<CapturedBackend>(std::move(part.backend),
                                                     TRY(PcapFile::create(options.pcap)));
  }
  return part;
}

}  // namespace vireo::backends
