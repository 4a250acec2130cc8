#pragma once
#include <memory>

#include "backends/block/block_backend.h"
#include "backends/block/image_file.h"
#include "base/result.h"

namespace vireo::backends {

/// The bytes of the disk are those of the file. With `guard_head` the guest cannot write what would
/// make the file look like another format: that fails with EPERM.
[[nodiscard]] Result<std::unique_ptr<BlockBackend>> open_raw_backend(
    std::shared_ptr<ImageFile> file, bool guard_head);

}  // namespace vireo::backends
