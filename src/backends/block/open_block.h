#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "backends/block/block_backend.h"
#include "base/result.h"

namespace vireo::backends {

/// An image on the host and how to open it.
struct BlockOptions {
  std::string path;    ///< a regular file or a block device
  std::string format;  ///< "raw", "qcow2", or empty: told by content
  bool read_only = false;
  bool discard_changes =
      false;  ///< what the guest writes is gone at the end; the image stays as it is
  bool bypass_cache =
      false;  ///< the host's page cache keeps nothing of the image, nor of those below
  /// qcow2: what the guest writes and does not flush is in the tables of the file after so long.
  std::chrono::milliseconds commit_after = std::chrono::seconds(5);
};

/// Opens and locks an image. While it is open no other process that keeps the locks of images (see
/// image_lock.h) can write to it, nor read it if this one writes.
///
/// A guest can write the head of another format into an image that is known as raw only by its
/// content; such a write fails with EPERM, so that the next open does not take it for that format.
///
/// Ignores SIGXFSZ for the process: a limit on the size of files becomes the EFBIG of a request.
[[nodiscard]] Result<std::unique_ptr<BlockBackend>> open_block_backend(const BlockOptions& options);

}  // namespace vireo::backends
