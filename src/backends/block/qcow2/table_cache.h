#pragma once
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "backends/block/image_file.h"
#include "backends/block/outcome.h"

namespace vireo::backends::qcow2 {

/// Bytes of metadata on their way to the file.
struct MetadataWrite {
  std::uint64_t offset = 0;
  std::vector<std::uint8_t> bytes;
};
using MetadataWrites = std::vector<MetadataWrite>;

/// Tables of one cluster each, by where they are in the file: L2 tables, or blocks of refcounts.
/// Changes stay here until they are taken for writing. Not thread-safe.
///
/// Beyond its capacity it forgets what was not used for long, but never changes that are not
/// written: who fills it with changes must have them written in time.
class TableCache {
 public:
  /// `capacity` in tables.
  TableCache(const ImageFile& file, std::uint64_t cluster_size, std::size_t capacity);

  /// The bytes of a table, read from the file if they are not here; they stay until the next call
  /// of load() or create().
  Outcome<std::span<std::uint8_t>> load(std::uint64_t offset);
  bool holds(std::uint64_t offset) const { return tables_.contains(offset); }
  /// A new table of zeroes, all of it changed.
  std::span<std::uint8_t> create(std::uint64_t offset);
  /// Forgets a table and its changes.
  void drop(std::uint64_t offset);
  /// To be called after the bytes of a table that is here were changed.
  void mark_changed(std::uint64_t offset, std::uint64_t at, std::uint64_t length);

  std::size_t changed() const { return changed_; }
  std::size_t capacity() const { return capacity_; }

  /// Takes all changes; their tables stay until settle() or restore().
  MetadataWrites take_changes();
  /// What was taken is in the file.
  void settle();
  /// What was taken is not in the file: all of it counts as changed again.
  void restore(const MetadataWrites& taken);

 private:
  struct Table {
    std::vector<std::uint8_t> bytes;
    std::vector<bool> changed_parts;
    bool changed = false;
    bool being_written = false;
    std::list<std::uint64_t>::iterator age;
  };

  Table& insert(std::uint64_t offset);
  void make_room();

  const ImageFile& file_;
  const std::uint64_t cluster_size_;
  const std::uint64_t part_size_;
  const std::size_t capacity_;
  std::unordered_map<std::uint64_t, Table> tables_;
  std::list<std::uint64_t> by_age_;  ///< the least used first
  std::size_t changed_ = 0;
};

}  // namespace vireo::backends::qcow2
