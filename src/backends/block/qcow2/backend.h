#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "backends/block/block_backend.h"
#include "backends/block/qcow2/image.h"

namespace vireo::backends::qcow2 {

/// What nobody flushes is committed when it has waited for `commit_after`; never without one.
std::unique_ptr<BlockBackend> make_backend(std::shared_ptr<Image> image, std::string name,
                                           std::chrono::milliseconds commit_after);

}  // namespace vireo::backends::qcow2
