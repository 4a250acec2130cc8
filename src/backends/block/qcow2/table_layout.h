#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "backends/block/image_file.h"
#include "backends/block/outcome.h"
#include "backends/block/qcow2/header.h"

namespace vireo::backends::qcow2 {

/// Where a new table of refcounts stands, in clusters: first new blocks, then the table.
struct TableLayout {
  std::uint64_t first_block = 0;    ///< of the blocks: the number of its entry in the table
  std::uint64_t block_cluster = 0;  ///< where the first of them stands
  std::uint64_t blocks = 0;
  std::uint64_t table_cluster = 0;
  std::uint64_t table_clusters = 0;

  std::uint64_t end_cluster() const { return table_cluster + table_clusters; }
  /// All entries: those of `old` below `first_block`, and the new blocks.
  std::vector<std::uint64_t> entries(const Header& header,
                                     const std::vector<std::uint64_t>& old) const;
};

/// At cluster `start`, with blocks from the number `first_block` on up to the end of the layout,
/// and with `wanted_entries` at least unless the format has no room; EFBIG if it has none at all.
[[nodiscard]] Outcome<TableLayout> lay_out_table(const Header& header, std::uint64_t start,
                                                 std::uint64_t first_block,
                                                 std::uint64_t wanted_entries);

/// Writes the new blocks and the table. `counts` is asked for the clusters outside the layout,
/// whose own are counted once.
[[nodiscard]] Outcome<> write_table(ImageFile& file, const Header& header,
                                    const TableLayout& layout,
                                    const std::vector<std::uint64_t>& old,
                                    const std::function<std::uint64_t(std::uint64_t)>& counts);

}  // namespace vireo::backends::qcow2
