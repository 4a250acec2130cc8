#pragma once
#include <string_view>

#include "base/result.h"
#include "machine/config.h"

namespace vireo::app {

/// `HOSTDIR=TAG[,readonly]`. The last equals sign counts, so that folders may have some.
Result<machine::ShareConfig> parse_share(std::string_view text);

}  // namespace vireo::app
