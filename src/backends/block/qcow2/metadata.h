#pragma once
#include <cstdint>
#include <set>
#include <vector>

#include "backends/block/image_file.h"
#include "backends/block/qcow2/allocator.h"
#include "backends/block/qcow2/header.h"
#include "backends/block/qcow2/l2_entry.h"
#include "backends/block/qcow2/refcounts.h"
#include "backends/block/qcow2/table_cache.h"

namespace vireo::backends::qcow2 {

/// A cluster that loses a user once no table in the file names it any more.
struct PendingRelease {
  std::uint64_t cluster = 0;
  bool give_back = false;  ///< the host shall have the place, if this was the last user
};

/// Changes on their way to the file, all of one moment.
struct MetadataChanges {
  MetadataWrites refcount_blocks, refcount_table, l2_tables, l1_table;
  std::vector<PendingRelease> releases;

  bool empty() const {
    return refcount_blocks.empty() && refcount_table.empty() && l2_tables.empty() &&
           l1_table.empty() && releases.empty();
  }
};

/// What the tables of one image say, with the changes that are not in the file yet. Not
/// thread-safe; calls may wait for the disk. Clusters of the guest by number.
class Metadata {
 public:
  Metadata(ImageFile& file, const Header& header, std::uint64_t file_size);
  Outcome<> load(bool read_only);

  /// Whether lookup() has no need of the disk.
  bool resident(std::uint64_t guest) const;
  /// Whether no table exists for the cluster, nor for the rest of those up to the return value.
  std::uint64_t unmapped_until(std::uint64_t guest) const;
  Outcome<L2Entry> lookup(std::uint64_t guest);
  /// Makes sure that the cluster's L2 table exists and belongs to the active disk alone. May fail
  /// with Allocator::needs_table(), and has then done nothing.
  Outcome<> make_writable(std::uint64_t guest);
  /// Needs a table that is writable. What the entry named before is released after the next write
  /// of the metadata, unless `raw` names the same place.
  Outcome<> set_entry(std::uint64_t guest, std::uint64_t raw, bool give_back);

  Allocator& allocator() { return allocator_; }
  Refcounts& refcounts() { return refcounts_; }
  /// Whether anything is not in the file yet.
  bool changed() const {
    return l2_.changed() != 0 || refcounts_.changed_blocks() != 0 || !changed_l1_sectors_.empty() ||
           !releases_.empty();
  }
  /// Changes fill the caches so far that they should be written.
  bool crowded() const;
  /// Whether the next write of the metadata lets go of clusters.
  bool releases_any() const { return !releases_.empty(); }

  MetadataChanges take_changes();
  /// The tables that were taken are in the file; releases are for the caller.
  void settle();
  /// Nothing of what was taken counts as written.
  void restore(MetadataChanges taken);

 private:
  std::uint64_t l1_index(std::uint64_t guest) const { return guest / header_.l2_entries(); }
  Outcome<std::uint64_t> l2_offset(std::uint64_t l1_entry) const;
  void release_later(const L2Entry& entry, bool give_back);

  ImageFile& file_;
  const Header& header_;
  std::vector<std::uint64_t> l1_;
  std::set<std::uint64_t> changed_l1_sectors_;
  TableCache l2_;
  Refcounts refcounts_;
  Allocator allocator_;
  std::vector<PendingRelease> releases_;
};

}  // namespace vireo::backends::qcow2
