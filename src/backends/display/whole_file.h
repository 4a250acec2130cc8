#pragma once
#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"

namespace vireo::backends {

/// Replaces a file as a whole: whoever opens it finds the old content or the new. What is no
/// regular file, such as a pipe, is written to. A usage error names the path and the reason.
Result<> write_whole_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace vireo::backends
