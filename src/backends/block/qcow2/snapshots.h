#pragma once
#include <cstdint>
#include <vector>

#include "backends/block/image_file.h"
#include "backends/block/outcome.h"
#include "backends/block/qcow2/header.h"

namespace vireo::backends::qcow2 {

/// A table of an internal snapshot.
struct SnapshotTable {
  std::uint64_t l1_offset = 0;
  std::uint32_t l1_entries = 0;
};

struct Snapshots {
  std::vector<SnapshotTable> tables;
  std::uint64_t bytes = 0;  ///< of the list of snapshots in the file
};

/// The internal snapshots; EIO if the list is not as it can be.
[[nodiscard]] Outcome<Snapshots> read_snapshots(const ImageFile& file, const Header& header);

}  // namespace vireo::backends::qcow2
