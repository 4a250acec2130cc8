#include "backends/block/qcow2/table_layout.h"

#include <algorithm>

#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/refcounts.h"

namespace vireo::backends::qcow2 {

std::vector<std::uint64_t> TableLayout::entries(const Header& header,
                                                const std::vector<std::uint64_t>& old) const {
  std::vector<std::uint64_t> result(
      old.begin(),
      old.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(first_block, old.size())));
  result.resize(table_clusters << header.cluster_bits >> 3);
  for (std::uint64_t i = 0; i < blocks; ++i)
    result[first_block + i] = (block_cluster + i) << header.cluster_bits;
  return result;
}

Outcome<TableLayout> lay_out_table(const Header& header, std::uint64_t start,
                                   std::uint64_t first_block, std::uint64_t wanted_entries) {
  const std::uint64_t most = kMaxRefcountBytes >> header.cluster_bits;  // clusters of a table
  TableLayout layout;
  layout.first_block = first_block;
  layout.block_cluster = start;
  layout.table_clusters =
      std::clamp<std::uint64_t>(header.clusters_for(wanted_entries * 8), 1, most);
  // A few more blocks or clusters of the table may make each other necessary.
  for (layout.blocks = 1;; ++layout.blocks) {
    const std::uint64_t entries = layout.first_block + layout.blocks;
    layout.table_clusters = std::max(layout.table_clusters, header.clusters_for(entries * 8));
    if (layout.table_clusters > most) return failure(std::errc::file_too_large);
    if (entries * header.block_entries() >= start + layout.blocks + layout.table_clusters) break;
  }
  layout.table_cluster = layout.block_cluster + layout.blocks;
  if (layout.end_cluster() > kMaxHostOffset >> header.cluster_bits)
    return failure(std::errc::file_too_large);
  return layout;
}

Outcome<> write_table(ImageFile& file, const Header& header, const TableLayout& layout,
                      const std::vector<std::uint64_t>& old,
                      const std::function<std::uint64_t(std::uint64_t)>& counts) {
  std::vector<std::uint8_t> block(header.cluster_size());
  for (std::uint64_t i = 0; i < layout.blocks; ++i) {
    const std::uint64_t first = (layout.first_block + i) * header.block_entries();
    for (std::uint64_t entry = 0; entry < header.block_entries(); ++entry) {
      const std::uint64_t cluster = first + entry;
      const bool own = cluster >= layout.block_cluster && cluster < layout.end_cluster();
      set_count(block, entry, header.refcount_order, own ? 1 : counts(cluster));
    }
    TRY(outcome(file.write((layout.block_cluster + i) << header.cluster_bits, std::span(block))));
  }
  const auto entries = layout.entries(header, old);
  std::vector<std::uint8_t> table(entries.size() * 8);
  for (std::size_t i = 0; i < entries.size(); ++i) store_big_endian(&table[i * 8], entries[i]);
  return outcome(file.write(layout.table_cluster << header.cluster_bits, std::span(table)));
}

}  // namespace vireo::backends::qcow2
