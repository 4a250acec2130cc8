#pragma once
#include <system_error>

#include "backends/block/block_backend.h"

namespace vireo::backends {

constexpr std::uint64_t kSectorSize = 512;  ///< bytes; sizes of disks are multiples of it

/// What every backend refuses at once: EINVAL for a range outside the disk or buffers of another
/// length, EROFS for changes to a disk that is read-only.
std::error_code check_request(const BlockRequest& request, std::uint64_t size, bool read_only);

}  // namespace vireo::backends
