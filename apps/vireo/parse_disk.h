#pragma once
#include <string_view>

#include "base/result.h"
#include "machine/config.h"

namespace vireo::app {

/// `FILE[,format=raw|qcow2][,interface=virtio|ide][,readonly][,discard-changes]`.
Result<machine::DiskConfig> parse_disk(std::string_view text);

}  // namespace vireo::app
