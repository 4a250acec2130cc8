#pragma once
#include <cstdint>

#include "backends/block/image_file.h"
#include "backends/block/qcow2/header.h"
#include "base/result.h"

namespace vireo::backends::qcow2 {

/// Makes the disk of a writable image larger, to `size` bytes, a multiple of 512; what is new reads
/// as zeroes, if nothing below has it. Ended at any moment it has the one size or the other, and is
/// mended when it is opened next.
[[nodiscard]] Result<> grow_image(ImageFile& file, Header& header, std::uint64_t size);

}  // namespace vireo::backends::qcow2
