#pragma once
#include <memory>
#include <string>

#include "backends/network/network_backend.h"
#include "base/result.h"

namespace vireo::backends {

/// A tap interface of the host, which somebody has made: by its name, or as `fd:N`, a descriptor of
/// one that this process was started with. Checksums and segmentation are left to the host's kernel
/// where the tap has a header for it.
Result<std::unique_ptr<NetworkBackend>> open_tap(const std::string& name);

}  // namespace vireo::backends
