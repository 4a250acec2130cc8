#pragma once
#include <cstdint>

#include "backends/block/image_file.h"
#include "backends/block/qcow2/header.h"
#include "base/result.h"

namespace vireo::backends::qcow2 {

/// What is wrong with the tables of an image.
struct Findings {
  std::uint64_t used_clusters = 0;  ///< by the disk, its tables and its snapshots
  std::uint64_t leaks = 0;   ///< clusters that are counted more often than used: lost room only
  std::uint64_t errors = 0;  ///< clusters counted too low, and flags that say so: data is in danger
  bool unreadable = false;   ///< the tables contradict themselves; then nothing else is known
};

/// Compares the refcounts in the file with what uses its clusters. Changes nothing.
[[nodiscard]] Result<Findings> check_image(const ImageFile& file, const Header& header);

}  // namespace vireo::backends::qcow2
