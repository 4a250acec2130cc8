#pragma once
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace vireo::app {

/// `256M`, `2G`, `1T`, `65536K`, with or without `iB`; in bytes. The unit is not optional: a bare
/// number means bytes to some and MiB to others.
Result<std::uint64_t> parse_size(std::string_view option, std::string_view text);

/// A positive number of seconds, with or without a fraction.
Result<double> parse_seconds(std::string_view option, std::string_view text);

/// A number from 1 on.
Result<unsigned> parse_count(std::string_view option, std::string_view text);

}  // namespace vireo::app
