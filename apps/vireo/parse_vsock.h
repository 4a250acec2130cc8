#pragma once
#include <string_view>

#include "base/result.h"
#include "machine/config.h"

namespace vireo::app {

/// `[cid=N,]dir=PATH`, or the other way round.
Result<machine::VsockConfig> parse_vsock(std::string_view text);

}  // namespace vireo::app
