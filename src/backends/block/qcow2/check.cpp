#include "backends/block/qcow2/check.h"

#include <algorithm>

#include "backends/block/qcow2/l2_entry.h"
#include "backends/block/qcow2/refcounts.h"
#include "backends/block/qcow2/sector_writes.h"
#include "backends/block/qcow2/use_counts.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::size_t kCachedBlocks = 64;

class Check {
 public:
  Check(const ImageFile& file, const Header& header, std::uint64_t end)
      : file_(file), header_(header), end_(end), refcounts_(file, header, kCachedBlocks) {}

  Outcome<Findings> run() {
    TRY(refcounts_.load());
    UseCounts uses = TRY(UseCounts::count(file_, header_, end_));
    TRY(uses.add(header_, header_.refcount_table_offset,
                 header_.refcount_table_clusters * header_.cluster_size()));
    for (const std::uint64_t block : refcounts_.table()) {
      if (block != 0) TRY(uses.add(header_, block, header_.cluster_size()));
    }
    const std::uint64_t last = std::max(uses.end(), std::min(refcounts_.covered(), end_));
    for (std::uint64_t cluster = 0; cluster < last; ++cluster) {
      const std::uint64_t used = uses.of(cluster), counted = TRY(count_of(cluster));
      findings_.used_clusters += used != 0 ? 1 : 0;
      findings_.leaks += counted > used ? 1 : 0;
      findings_.errors += counted < used ? 1 : 0;
    }
    TRY(check_flags());
    return findings_;
  }

 private:
  Outcome<std::uint64_t> count_of(std::uint64_t cluster) {
    if (cluster >= refcounts_.covered()) return std::uint64_t{0};
    return refcounts_.get(cluster);
  }
  /// An entry that names a whole cluster says whether it is the only one.
  Outcome<> check_flag(std::uint64_t raw) {
    const std::uint64_t offset = raw & kOffsetMask;
    if (offset == 0) return Unit{};
    const bool alone = TRY(count_of(offset >> header_.cluster_bits)) == 1;
    findings_.errors += alone != ((raw & kCopied) != 0) ? 1 : 0;
    return Unit{};
  }
  Outcome<> check_flags() {
    for (const std::uint64_t table :
         TRY(read_entries(file_, header_.l1_offset, header_.l1_entries))) {
      TRY(check_flag(table));
      const std::uint64_t offset = table & kOffsetMask;
      if (offset == 0) continue;
      for (const std::uint64_t raw : TRY(read_entries(file_, offset, header_.l2_entries()))) {
        if ((raw & kCompressedFlag) == 0) TRY(check_flag(raw));
      }
    }
    return Unit{};
  }

  const ImageFile& file_;
  const Header& header_;
  const std::uint64_t end_;
  Refcounts refcounts_;
  Findings findings_;
};

}  // namespace

Result<Findings> check_image(const ImageFile& file, const Header& header) {
  const auto size = file.size();
  if (!size)
    return host_error("cannot tell the size of {}: {}", file.path(), size.error().message());
  const std::uint64_t end = header.clusters_for(*size);
  if (end > UseCounts::kMostClusters)
    return usage_error("the qcow2 image {} is too large to be checked here", file.path());
  const auto findings = Check(file, header, end).run();
  return findings ? *findings : Findings{.unreadable = true};
}

}  // namespace vireo::backends::qcow2
