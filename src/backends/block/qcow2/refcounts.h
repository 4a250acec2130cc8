#pragma once
#include <cstdint>
#include <set>
#include <vector>

#include "backends/block/qcow2/header.h"
#include "backends/block/qcow2/table_cache.h"

namespace vireo::backends::qcow2 {

/// One count in a block of them, of 1 to 64 bits.
std::uint64_t get_count(std::span<const std::uint8_t> block, std::uint64_t index, unsigned order);
void set_count(std::span<std::uint8_t> block, std::uint64_t index, unsigned order,
               std::uint64_t value);

/// How often each cluster of the file is used: a table of blocks of counts. Changes stay here until
/// they are taken for writing. Not thread-safe. Clusters by number, not by offset.
class Refcounts {
 public:
  Refcounts(const ImageFile& file, const Header& header, std::size_t capacity)
      : file_(file), header_(header), blocks_(file, header.cluster_size(), capacity) {}
  /// Reads the table.
  Outcome<> load();

  /// Clusters below have a place in the table.
  std::uint64_t covered() const { return table_.size() * header_.block_entries(); }
  /// 0 for a cluster whose block does not exist.
  Outcome<std::uint64_t> get(std::uint64_t cluster);
  /// The cluster's block exists.
  Outcome<> set(std::uint64_t cluster, std::uint64_t value);
  bool has_block(std::uint64_t cluster) const { return table_[block_of(cluster)] != 0; }
  /// Makes `cluster`, a free one whose block does not exist, that block.
  Outcome<> create_block(std::uint64_t cluster);

  const std::vector<std::uint64_t>& table() const { return table_; }
  /// For who replaces the table: the blocks, and the table that is in the file from now on.
  TableCache& blocks() { return blocks_; }
  void replace_table(std::vector<std::uint64_t> table);

  std::size_t changed_blocks() const { return blocks_.changed(); }
  std::size_t blocks_capacity() const { return blocks_.capacity(); }
  MetadataWrites take_block_changes() { return blocks_.take_changes(); }
  /// Of the table.
  MetadataWrites take_table_changes();
  void settle() { blocks_.settle(); }
  void restore(const MetadataWrites& blocks, const MetadataWrites& table);

 private:
  std::uint64_t block_of(std::uint64_t cluster) const { return cluster / header_.block_entries(); }
  std::uint64_t index_of(std::uint64_t cluster) const { return cluster % header_.block_entries(); }

  const ImageFile& file_;
  const Header& header_;  ///< kept current by the image
  TableCache blocks_;
  std::vector<std::uint64_t> table_;         ///< offsets of blocks
  std::set<std::uint64_t> changed_sectors_;  ///< of the table
};

}  // namespace vireo::backends::qcow2
