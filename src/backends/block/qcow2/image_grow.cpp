#include <algorithm>
#include <utility>

#include "backends/block/qcow2/image.h"
#include "backends/block/qcow2/table_layout.h"

namespace vireo::backends::qcow2 {

/// The new table and the blocks for its own clusters stand where the old one ends to count: nothing
/// there is in use, whatever happens before the header names the new one.
Outcome<> Image::grow_refcount_table() {
  const std::lock_guard commit_lock(commit_mutex_);
  const std::lock_guard lock(mutex_);
  Refcounts& refcounts = metadata_.refcounts();
  const std::uint64_t start = refcounts.covered();
  const TableLayout layout = TRY(lay_out_table(header_, start, start / header_.block_entries(),
                                               std::uint64_t{refcounts.table().size()} * 2));

  // The new table names blocks that are in the file only as zeroes so far.
  const MetadataWrites changed = refcounts.take_block_changes();
  auto written = write_all(changed);
  if (written)
    written =
        write_table(*file_, header_, layout, refcounts.table(), [](std::uint64_t) { return 0; });
  if (written) written = outcome(file_->sync());
  Header next = header_;
  next.refcount_table_offset = layout.table_cluster << header_.cluster_bits;
  next.refcount_table_clusters = static_cast<std::uint32_t>(layout.table_clusters);
  if (written) written = update_header(*file_, next);
  if (written) written = outcome(file_->sync());
  if (!written) {
    refcounts.restore(changed, {});
    return written;
  }
  metadata_.settle();
  const ClusterRun old{header_.refcount_table_offset >> header_.cluster_bits,
                       header_.refcount_table_clusters};
  header_.refcount_table_offset = next.refcount_table_offset;  // the rest is read without a lock
  header_.refcount_table_clusters = next.refcount_table_clusters;
  refcounts.replace_table(layout.entries(header_, refcounts.table()));
  metadata_.allocator().note_written_to(layout.end_cluster() << header_.cluster_bits);
  for (std::uint64_t i = 0; i < old.count; ++i) TRY(metadata_.allocator().release(old.first + i));
  return Unit{};
}

}  // namespace vireo::backends::qcow2
