#include "backends/block/qcow2/rebuild.h"

#include <algorithm>
#include <vector>

#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/l2_entry.h"
#include "backends/block/qcow2/sector_writes.h"
#include "backends/block/qcow2/table_layout.h"
#include "backends/block/qcow2/use_counts.h"

namespace vireo::backends::qcow2 {
namespace {

class Rebuild {
 public:
  /// `end`: as many clusters as the file has.
  Rebuild(ImageFile& file, Header& header, std::uint64_t end)
      : file_(file), header_(header), end_(end) {}

  Outcome<> run() {
    counts_ = TRY(UseCounts::count(file_, header_, end_));
    TRY(correct_flags());
    TRY(replace_counts());
    return Unit{};
  }

 private:
  bool used_once(std::uint64_t offset) const {
    return counts_.of(offset >> header_.cluster_bits) == 1;
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
    const std::uint64_t start = std::max<std::uint64_t>(end_, counts_.end());
    const TableLayout layout = TRY(lay_out_table(header_, start, 0, 1));
    TRY(write_table(file_, header_, layout, {},
                    [&](std::uint64_t cluster) -> std::uint64_t { return counts_.of(cluster); }));
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
  UseCounts counts_;
};

}  // namespace

Result<> rebuild_refcounts(ImageFile& file, Header& header) {
  const auto size = file.size();
  if (!size)
    return host_error("cannot tell the size of {}: {}", file.path(), size.error().message());
  const std::uint64_t end = header.clusters_for(*size);
  if (end > UseCounts::kMostClusters)
    return usage_error("the qcow2 image {} was not closed and is too large to be repaired here",
                       file.path());
  const auto done = Rebuild(file, header, end).run();
  if (!done)
    return host_error("the qcow2 image {} was not closed and cannot be repaired: {}", file.path(),
                      done.error().message());
  return Unit{};
}

}  // namespace vireo::backends::qcow2
