#pragma once
#include <optional>
#include <string>

#include "backends/block/image_file.h"
#include "backends/block/outcome.h"
#include "backends/block/qcow2/header.h"

namespace vireo::backends::qcow2 {

/// What an image says that it stands on.
struct Backing {
  std::string path;  ///< seen from the folder of the image
  std::string format;
};

/// Makes an empty file an image with nothing in it: version 3, clusters of 64 KiB, the disk of
/// `size` bytes, a multiple of 512. Without a `backing` the file does not say what is below it.
[[nodiscard]] Outcome<Header> create_image(ImageFile& file, std::uint64_t size,
                                           const std::optional<Backing>& backing = {});

}  // namespace vireo::backends::qcow2
