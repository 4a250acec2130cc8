#include "backends/block/qcow2/rebuild.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/l2_entry.h"
#include "backends/block/qcow2/sector_writes.h"
#include "backends/block/qcow2/snapshots.h"
#include "backends/block/qcow2/table_layout.h"

namespace vireo::backends::qcow2 {
namespace {

/// Clusters that are counted: 256 MiB of counts.
constexpr std::uint64_t kMaxClusters = std::uint64_t{1} << 26;

/// Clusters that may be in use behind the end of the file: those that were never written to.
constexpr std::uint64_t kMostBehindEnd = std::uint64_t{1} << 16;

class Rebuild {
 public:
  /// `end`: as many clusters as the file has.
  Rebuild(ImageFile& file, Header& header, std::uint64_t end)
      : file_(file), header_(header), end_(end) {}

  Outcome<> run() {
    TRY(count_all());
    TRY(correct_flags());
    TRY(replace_counts());
    return Unit{};
  }

 private:
  Outcome<> count(std::uint64_t offset, std::uint64_t bytes) {
    if (bytes == 0) return Unit{};
    const std::uint64_t first = offset >> header_.cluster_bits;
    const std::uint64_t last = (offset + bytes - 1) >> header_.cluster_bits;
    if (last >= end_ + kMostBehindEnd) return damaged();
    if (last >= counts_.size()) counts_.resize(last + 1);
    for (std::uint64_t cluster = first; cluster <= last; ++cluster) {
      // No width of counts may overflow, ours included.
      const std::uint64_t most = header_.refcount_order >= 5
                                     ? std::numeric_limits<std::uint32_t>::max()
                                     : (std::uint64_t{1} << header_.refcount_bits()) - 1;
      if (counts_[cluster] == most) return damaged();
      ++counts_[cluster];
    }
    return Unit{};
  }

  Outcome<> count_entry(std::uint64_t raw) {
    const L2Entry entry = TRY(parse_l2_entry(raw, header_));
    if (entry.kind == ClusterKind::kCompressed) return count(entry.offset, entry.length);
    return entry.has_place() ? count(entry.offset, header_.cluster_size()) : Outcome<>(Unit{});
  }

  /// A table of tables, and all below it.
  Outcome<> count_tree(std::uint64_t l1_offset, std::uint64_t l1_entries) {
    TRY(count(l1_offset, l1_entries * 8));
    for (const std::uint64_t raw : TRY(read_entries(file_, l1_offset, l1_entries))) {
      const std::uint64_t offset = raw & kOffsetMask;
      if (offset == 0) continue;
      if (!header_.aligned(offset)) return damaged();
      TRY(count(offset, header_.cluster_size()));
      // In each tree a table has one place: else a small file could be a lot of work.
      if (counts_[offset >> header_.cluster_bits] > header_.snapshots + 1) return damaged();
      for (const std::uint64_t entry : TRY(read_entries(file_, offset, header_.l2_entries())))
        TRY(count_entry(entry));
    }
    return Unit{};
  }

  Outcome<> count_all() {
    TRY(count(0, header_.cluster_size()));
    TRY(count_tree(header_.l1_offset, header_.l1_entries));
    const Snapshots snapshots = TRY(read_snapshots(file_, header_));
    TRY(count(header_.snapshots_offset, snapshots.bytes));
    for (const SnapshotTable& table : snapshots.tables)
      TRY(count_tree(table.l1_offset, table.l1_entries));
    return Unit{};
  }

  bool used_once(std::uint64_t offset) const {
    const std::uint64_t cluster = offset >> header_.cluster_bits;
    return cluster < counts_.size() && counts_[cluster] == 1;
  }
  std::uint64_t corrected(std::uint64_t raw) const {
    const std::uint64_t offset = raw & kOffsetMask;
    if (offset == 0) return raw & ~kCopied;
    return used_once(offset) ? raw | kCopied : raw & ~kCopied;
  }

  /// A table whose entries all name clusters or nothing.
  Outcome<> correct_table(std::uint64_t at, std::vector<std::uint64_t>& entries) {
    bool changed = false;
    for (std::uint64_t& raw : entries) {
      const std::uint64_t now = (raw & kCompressedFlag) != 0 ? raw & ~kCopied : corrected(raw);
      changed = changed || now != raw;
      raw = now;
    }
    if (!changed) return Unit{};
    std::vector<std::uint8_t> bytes(entries.size() * 8);
    for (std::size_t i = 0; i < entries.size(); ++i) store_big_endian(&bytes[i * 8], entries[i]);
    return outcome(file_.write(at, std::span(bytes)));
  }

  Outcome<> correct_flags() {
    auto l1 = TRY(read_entries(file_, header_.l1_offset, header_.l1_entries));
    for (const std::uint64_t raw : l1) {
      const std::uint64_t offset = raw & kOffsetMask;
      if (offset == 0) continue;
      auto entries = TRY(read_entries(file_, offset, header_.l2_entries()));
      TRY(correct_table(offset, entries));
    }
    return correct_table(header_.l1_offset, l1);
  }

  Outcome<> replace_counts() {
    const std::uint64_t start = std::max<std::uint64_t>(end_, counts_.size());
    const TableLayout layout = TRY(lay_out_table(header_, start, 0, 1));
    TRY(write_table(file_, header_, layout, {}, [&](std::uint64_t cluster) -> std::uint64_t {
      return cluster < counts_.size() ? counts_[cluster] : 0;
    }));
    TRY(outcome(file_.sync()));
    header_.refcount_table_offset = layout.table_cluster << header_.cluster_bits;
    header_.refcount_table_clusters = static_cast<std::uint32_t>(layout.table_clusters);
    header_.incompatible &= ~kDirty;
    TRY(update_header(file_, header_));
    return outcome(file_.sync());
  }

  ImageFile& file_;
  Header& header_;
  const std::uint64_t end_;
  std::vector<std::uint32_t> counts_;  ///< by cluster; those behind the end are not used
};

}  // namespace

Result<> rebuild_refcounts(ImageFile& file, Header& header) {
  const auto size = file.size();
  if (!size)
    return host_error("cannot tell the size of {}: {}", file.path(), size.error().message());
  const std::uint64_t end = header.clusters_for(*size);
  if (end > kMaxClusters)
    return usage_error("the qcow2 image {} was not closed and is too large to be repaired here",
                       file.path());
  const auto done = Rebuild(file, header, end).run();
  if (!done)
    return host_error("the qcow2 image {} was not closed and cannot be repaired: {}", file.path(),
                      done.error().message());
  return Unit{};
}

}  // namespace vireo::backends::qcow2
