#pragma once
#include "backends/block/image_file.h"
#include "backends/block/outcome.h"
#include "backends/block/qcow2/header.h"

namespace vireo::backends::qcow2 {

/// Makes an empty file an image with nothing in it: version 3, clusters of 64 KiB, the disk of
/// `size` bytes, a multiple of 512. What is below it is not said in the file.
[[nodiscard]] Outcome<Header> create_image(ImageFile& file, std::uint64_t size);

}  // namespace vireo::backends::qcow2
