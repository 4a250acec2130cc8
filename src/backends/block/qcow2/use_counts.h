#pragma once
#include <cstdint>
#include <vector>

#include "backends/block/image_file.h"
#include "backends/block/outcome.h"
#include "backends/block/qcow2/header.h"

namespace vireo::backends::qcow2 {

/// How often the tables of an image, those of its snapshots included, name each cluster: what the
/// refcounts in the file should say. The refcounts themselves are not among what uses a cluster.
class UseCounts {
 public:
  /// Clusters of a file that are counted at most: 256 MiB of counts.
  static constexpr std::uint64_t kMostClusters = std::uint64_t{1} << 26;

  UseCounts() = default;
  /// Of a file of `end` clusters. EIO for tables that contradict themselves.
  static Outcome<UseCounts> count(const ImageFile& file, const Header& header, std::uint64_t end);

  std::uint32_t of(std::uint64_t cluster) const {
    return cluster < counts_.size() ? counts_[cluster] : 0;
  }
  /// Clusters from here on are not used.
  std::uint64_t end() const { return counts_.size(); }
  /// Counts the clusters of a range of bytes, as one use of each.
  Outcome<> add(const Header& header, std::uint64_t offset, std::uint64_t bytes);

 private:
  Outcome<> add_entry(const Header& header, std::uint64_t raw);
  Outcome<> add_tree(const ImageFile& file, const Header& header, std::uint64_t l1_offset,
                     std::uint64_t l1_entries);

  std::uint64_t file_end_ = 0;
  std::vector<std::uint32_t> counts_;
};

}  // namespace vireo::backends::qcow2
