#include "backends/display/png_image.h"

#include <png.h>

#include <vector>

#include "backends/display/whole_file.h"
#include "base/assert.h"

namespace vireo::backends {

Result<> write_png(const std::string& path, unsigned width, unsigned height,
                   std::span<const std::uint8_t> rgb) {
  VIREO_ASSERT(rgb.size() == std::size_t{width} * height * 3);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<std::byte> file(size);
  if (png_image_write_to_memory(&image, file.data(), &size, 0, rgb.data(), 0, nullptr) == 0)
    return host_error("cannot make a PNG image: {}", std::string(image.message));
  return write_whole_file(path, std::span(file).first(size));
}

}  // namespace vireo::backends
