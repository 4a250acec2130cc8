#pragma once
#include <string_view>

#include "base/result.h"
#include "machine/config.h"

namespace vireo::app {

/// `NAME=BACKEND`; what a backend is others know.
Result<machine::ChannelConfig> parse_channel(std::string_view text);

}  // namespace vireo::app
