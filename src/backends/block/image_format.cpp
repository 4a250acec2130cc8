#include "backends/block/image_format.h"

#include <algorithm>
#include <array>

namespace vireo::backends {

ImageFormat tell_format(std::span<const std::uint8_t> head) {
  static constexpr std::array<std::uint8_t, 4> kQcowMagic{'Q', 'F', 'I', 0xfb};
  if (head.size() < kQcowMagic.size()) return ImageFormat::kRaw;
  return std::equal(kQcowMagic.begin(), kQcowMagic.end(), head.begin()) ? ImageFormat::kQcow2
                                                                        : ImageFormat::kRaw;
}

Result<ImageFormat> format_by_name(const std::string& name) {
  if (name == "raw") return ImageFormat::kRaw;
  if (name == "qcow2") return ImageFormat::kQcow2;
  return usage_error("the image format '{}' is unknown; there are raw and qcow2", name);
}

}  // namespace vireo::backends
