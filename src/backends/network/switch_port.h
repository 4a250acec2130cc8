#pragma once
#include <memory>
#include <string>

#include "backends/network/network_backend.h"
#include "backends/network/switch_folder.h"
#include "base/result.h"

namespace vireo::backends {

/// A port of the switch of this name, which connects the machines of one user on one host. The
/// first port makes the switch, and holds it as long as it lives; then one of the others makes it
/// anew. Frames that are under way then are lost.
///
/// A usage error if the name is not one: 1 to 64 letters, digits, `-`, `_` and `.`, the first of
/// them no point.
Result<std::unique_ptr<NetworkBackend>> open_switch_port(SwitchFolder folder,
                                                         const std::string& name);

}  // namespace vireo::backends
