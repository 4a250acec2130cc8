#pragma once
#include <memory>

#include "backends/network/network_backend.h"
#include "backends/network/network_options.h"
#include "base/result.h"

namespace vireo::backends {

/// A network card that is plugged in.
struct NetworkPart {
  std::unique_ptr<NetworkBackend> backend;
  MacAddress mac{};
};

/// Opens what the options name. A card without an address gets one of its own: in user networks,
/// where it is alone, always the same for the same `index`; elsewhere by chance.
Result<NetworkPart> open_network(const NetworkOptions& options, unsigned index);

}  // namespace vireo::backends
