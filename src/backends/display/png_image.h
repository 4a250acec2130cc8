#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace vireo::backends {

/// Writes a picture as a PNG file, which is replaced as a whole. Three bytes a pixel: red, green
/// and blue, line by line.
Result<> write_png(const std::string& path, unsigned width, unsigned height,
                   std::span<const std::uint8_t> rgb);

}  // namespace vireo::backends
