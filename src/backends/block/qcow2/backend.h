#pragma once
#include <memory>
#include <string>

#include "backends/block/block_backend.h"
#include "backends/block/qcow2/image.h"

namespace vireo::backends::qcow2 {

std::unique_ptr<BlockBackend> make_backend(std::shared_ptr<Image> image, std::string name);

}  // namespace vireo::backends::qcow2
