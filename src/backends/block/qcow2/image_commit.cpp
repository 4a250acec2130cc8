#include <algorithm>
#include <utility>

#include "backends/block/qcow2/image.h"

namespace vireo::backends::qcow2 {

Outcome<> Image::commit_if_crowded() {
  {
    const std::lock_guard lock(mutex_);
    if (!metadata_.crowded()) return Unit{};
  }
  return commit();
}

Outcome<> Image::commit_if_changed() {
  {
    const std::lock_guard lock(mutex_);
    if (!metadata_.changed()) return Unit{};
  }
  return commit();
}

Outcome<> Image::commit() {
  if (file_->read_only()) return Unit{};
  const std::lock_guard commit_lock(commit_mutex_);
  MetadataChanges changes;
  {
    const std::lock_guard lock(mutex_);
    changes = metadata_.take_changes();
  }
  const auto written = write_changes(changes);
  {
    const std::lock_guard lock(mutex_);
    if (!written) {
      metadata_.restore(std::move(changes));
      return written;
    }
    metadata_.settle();
  }
  if (!changes.releases.empty()) carry_out(changes.releases);
  return written;
}

/// The clusters lose a user. Those that lost the last one and shall be given back stay out of reach
/// until the host has them. What fails here loses no more than space.
void Image::carry_out(std::span<const PendingRelease> releases) {
  std::vector<std::uint64_t> given_back;
  {
    const std::lock_guard lock(mutex_);
    for (const PendingRelease& release : releases) {
      const auto last = metadata_.allocator().release(release.cluster);
      if (!last || !*last || !release.give_back) continue;
      metadata_.allocator().hold(release.cluster);
      given_back.push_back(release.cluster);
    }
  }
  std::sort(given_back.begin(), given_back.end());
  for (std::size_t i = 0; i < given_back.size();) {
    const std::uint64_t first = given_back[i];
    std::uint64_t count = 1;
    while (++i < given_back.size() && given_back[i] == first + count) ++count;
    static_cast<void>(file_->discard(first << header_.cluster_bits, count << header_.cluster_bits));
    const std::lock_guard lock(mutex_);
    metadata_.allocator().abandon({first, count});
  }
  ++times_given_back_;
  write_refcounts_now();
}

/// Without waiting for the disk: until then the file only says that too much is in use.
void Image::write_refcounts_now() {
  MetadataWrites writes;
  {
    const std::lock_guard lock(mutex_);
    writes = metadata_.refcounts().take_block_changes();
  }
  const auto written = write_all(writes);
  const std::lock_guard lock(mutex_);
  if (written)
    metadata_.settle();
  else
    metadata_.refcounts().restore(writes, {});
}

Outcome<> Image::write_all(const MetadataWrites& writes) {
  for (const MetadataWrite& write : writes)
    TRY(outcome(file_->write(write.offset, std::span(write.bytes))));
  return Unit{};
}

/// Each step may rely on the disk only for what a sync before it has put there: a table names
/// nothing whose content or refcount could be missing, and a refcount drops only when no table on
/// the disk names the cluster any more.
Outcome<> Image::write_changes(const MetadataChanges& changes) {
  TRY(write_all(changes.refcount_blocks));
  if (!changes.refcount_table.empty()) {
    TRY(outcome(file_->sync()));
    TRY(write_all(changes.refcount_table));
  }
  if (!changes.l2_tables.empty() || !changes.l1_table.empty()) {
    TRY(outcome(file_->sync()));
    TRY(write_all(changes.l2_tables));
  }
  if (!changes.l1_table.empty()) {
    if (!changes.l2_tables.empty()) TRY(outcome(file_->sync()));
    TRY(write_all(changes.l1_table));
  }
  return outcome(file_->sync());
}

}  // namespace vireo::backends::qcow2
