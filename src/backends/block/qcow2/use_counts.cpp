#include "backends/block/qcow2/use_counts.h"

#include <limits>

#include "backends/block/qcow2/l2_entry.h"
#include "backends/block/qcow2/sector_writes.h"
#include "backends/block/qcow2/snapshots.h"

namespace vireo::backends::qcow2 {
namespace {

/// Clusters that may be in use behind the end of the file: those that were never written to.
constexpr std::uint64_t kMostBehindEnd = std::uint64_t{1} << 16;

}  // namespace

Outcome<UseCounts> UseCounts::count(const ImageFile& file, const Header& header,
                                    std::uint64_t end) {
  UseCounts counts;
  counts.file_end_ = end;
  TRY(counts.add(header, 0, header.cluster_size()));
  TRY(counts.add_tree(file, header, header.l1_offset, header.l1_entries));
  const Snapshots snapshots = TRY(read_snapshots(file, header));
  TRY(counts.add(header, header.snapshots_offset, snapshots.bytes));
  for (const SnapshotTable& table : snapshots.tables)
    TRY(counts.add_tree(file, header, table.l1_offset, table.l1_entries));
  return counts;
}

Outcome<> UseCounts::add(const Header& header, std::uint64_t offset, std::uint64_t bytes) {
  if (bytes == 0) return Unit{};
  const std::uint64_t first = offset >> header.cluster_bits;
  const std::uint64_t last = (offset + bytes - 1) >> header.cluster_bits;
  if (last >= file_end_ + kMostBehindEnd) return damaged();
  if (last >= counts_.size()) counts_.resize(last + 1);
  for (std::uint64_t cluster = first; cluster <= last; ++cluster) {
    // No width of counts may overflow, ours included.
    const std::uint64_t most = header.refcount_order >= 5
                                   ? std::numeric_limits<std::uint32_t>::max()
                                   : (std::uint64_t{1} << header.refcount_bits()) - 1;
    if (counts_[cluster] == most) return damaged();
    ++counts_[cluster];
  }
  return Unit{};
}

Outcome<> UseCounts::add_entry(const Header& header, std::uint64_t raw) {
  const L2Entry entry = TRY(parse_l2_entry(raw, header));
  if (entry.kind == ClusterKind::kCompressed) return add(header, entry.offset, entry.length);
  return entry.has_place() ? add(header, entry.offset, header.cluster_size()) : Outcome<>(Unit{});
}

/// A table of tables, and all below it.
Outcome<> UseCounts::add_tree(const ImageFile& file, const Header& header, std::uint64_t l1_offset,
                              std::uint64_t l1_entries) {
  TRY(add(header, l1_offset, l1_entries * 8));
  for (const std::uint64_t raw : TRY(read_entries(file, l1_offset, l1_entries))) {
    const std::uint64_t offset = raw & kOffsetMask;
    if (offset == 0) continue;
    if (!header.aligned(offset)) return damaged();
    TRY(add(header, offset, header.cluster_size()));
    // In each tree a table has one place: else a small file could be a lot of work.
    if (counts_[offset >> header.cluster_bits] > header.snapshots + 1) return damaged();
    for (const std::uint64_t entry : TRY(read_entries(file, offset, header.l2_entries())))
      TRY(add_entry(header, entry));
  }
  return Unit{};
}

}  // namespace vireo::backends::qcow2
