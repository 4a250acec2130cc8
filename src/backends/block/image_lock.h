#pragma once
#include <cstdint>
#include <string>

#include "base/result.h"

namespace vireo::backends {

enum class ImageUse : std::uint8_t {
  kRead,   ///< others may read, nobody may write
  kWrite,  ///< nobody else may use it
};

/// Locks an image for as long as the open file of `fd` lives: open-file-description locks on single
/// bytes, at the places where QEMU has them, so that its programs are kept out too. A host whose
/// file system has no locks gives none, and that is no error.
[[nodiscard]] Result<> lock_image(int fd, const std::string& path, ImageUse use);

}  // namespace vireo::backends
