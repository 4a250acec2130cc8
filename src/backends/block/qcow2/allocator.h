#pragma once
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "backends/block/image_file.h"
#include "backends/block/qcow2/refcounts.h"

namespace vireo::backends::qcow2 {

/// Clusters of the file that belong together, by number.
struct ClusterRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool reads_as_zero = false;  ///< nobody has ever written there
};

/// Where new clusters come from. Not thread-safe.
///
/// A cluster is *reserved* from reserve() on: nobody else gets it, but its refcount is still zero,
/// so that nothing is lost if the program ends before the cluster has a user. use() makes the count
/// one; abandon() gives the cluster back.
class Allocator {
 public:
  Allocator(ImageFile& file, const Header& header, Refcounts& refcounts, std::uint64_t file_size)
      : file_(file), header_(header), refcounts_(refcounts), written_(file_size) {}

  /// Up to `most` clusters in a row, at least one. EFBIG if there are none, needs_table()
  /// if the table of refcounts must grow first.
  Outcome<ClusterRun> reserve(std::uint64_t most);
  Outcome<> use(std::uint64_t cluster);
  void abandon(const ClusterRun& run);
  /// Reserves a cluster and fills it with zeroes in the file, so that the host has a place for it
  /// when the table that it will hold is written.
  Outcome<std::uint64_t> take_for_table();

  /// A user less; tells whether it was the last one.
  Outcome<bool> release(std::uint64_t cluster);
  /// Keeps a free cluster from being reserved until abandon().
  void hold(std::uint64_t cluster) { reserved_.insert(cluster); }
  void note_free_from(std::uint64_t cluster);
  /// The file was written up to there by others.
  void note_written_to(std::uint64_t offset);

  /// reserve() says so in the place of an error of the host.
  static std::error_code needs_table() { return std::make_error_code(std::errc::value_too_large); }

 private:
  Outcome<bool> is_free(std::uint64_t cluster);
  Outcome<> make_block(std::uint64_t cluster);
  Outcome<> fill_with_zeroes(std::uint64_t cluster);

  ImageFile& file_;
  const Header& header_;
  Refcounts& refcounts_;
  std::unordered_set<std::uint64_t> reserved_;
  std::uint64_t first_free_ = 0;  ///< below it none is free
  std::uint64_t written_;         ///< from this offset on the file has never been written
};

}  // namespace vireo::backends::qcow2
