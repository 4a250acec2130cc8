#pragma once
#include "backends/block/image_file.h"
#include "backends/block/qcow2/header.h"
#include "base/result.h"

namespace vireo::backends::qcow2 {

/// For an image that is marked as dirty: counts who uses each cluster, writes new refcounts beside
/// the old ones, makes the "refcount is exactly one" flags agree, and ends with the header that
/// names the new table and is no longer dirty. Ended in the middle it can be done again.
[[nodiscard]] Result<> rebuild_refcounts(ImageFile& file, Header& header);

}  // namespace vireo::backends::qcow2
