#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vireo::backends::qcow2 {

/// What the areas behind the header say, as far as it is of use here; the others are skipped.
struct Extensions {
  std::string backing_format;                          ///< empty: not said
  std::map<unsigned, std::string> incompatible_names;  ///< by the number of the bit

  /// Of an incompatible feature; its number if the image does not name it.
  std::string feature_name(unsigned bit) const;
};

/// `cluster` is the first one of the image, `start` where the header ends in it.
[[nodiscard]] Result<Extensions> read_extensions(std::span<const std::uint8_t> cluster,
                                                 std::uint32_t start, const std::string& path);

/// Adds the area that says what format an image below has.
void append_backing_format(std::vector<std::uint8_t>& bytes, std::string_view format);

}  // namespace vireo::backends::qcow2
