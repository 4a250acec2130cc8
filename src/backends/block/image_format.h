#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace vireo::backends {

enum class ImageFormat : std::uint8_t { kRaw, kQcow2 };

/// As much of an image's beginning as tells its format, in bytes.
constexpr std::size_t kFormatHeadSize = 512;

/// What an image is by its first bytes; raw if it is nothing else.
ImageFormat tell_format(std::span<const std::uint8_t> head);

/// By the name that users and images give it.
[[nodiscard]] Result<ImageFormat> format_by_name(const std::string& name);

}  // namespace vireo::backends
