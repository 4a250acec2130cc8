#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "backends/block/image_file.h"
#include "backends/block/outcome.h"
#include "base/result.h"

namespace vireo::backends::qcow2 {

enum class Compression : std::uint8_t { kZlib = 0, kZstd = 1 };

constexpr std::uint64_t kDirty = 1;           ///< incompatible: the refcounts cannot be trusted
constexpr std::uint64_t kCorrupt = 2;         ///< incompatible: not to be written to
constexpr std::uint64_t kExternalData = 4;    ///< incompatible: the data is in another file
constexpr std::uint64_t kCompressionBit = 8;  ///< incompatible: compression_type is not zlib
constexpr std::uint64_t kExtendedL2 = 16;     ///< incompatible: subclusters

constexpr std::uint32_t kMaxTableBytes = 32u << 20;    ///< of an L1 table
constexpr std::uint32_t kMaxRefcountBytes = 8u << 20;  ///< of a refcount table
constexpr std::uint64_t kMaxHostOffset = 1ull << 56;   ///< bytes of an image that tables can name
constexpr std::uint32_t kMaxSnapshots = 65536;
constexpr std::uint32_t kMaxBackingPath = 1023;

/// The header of an image, after it was judged: offsets are aligned to clusters and below
/// kMaxHostOffset, sizes within the limits above, and the L1 table is large enough for the disk.
struct Header {
  std::uint32_t version = 3;
  unsigned cluster_bits = 16;
  std::uint64_t size = 0;  ///< of the disk, in bytes
  std::uint32_t l1_entries = 0;
  std::uint64_t l1_offset = 0;
  std::uint64_t refcount_table_offset = 0;
  std::uint32_t refcount_table_clusters = 0;
  std::uint32_t snapshots = 0;
  std::uint64_t snapshots_offset = 0;
  std::uint64_t incompatible = 0;
  std::uint64_t autoclear = 0;
  unsigned refcount_order = 4;
  Compression compression = Compression::kZlib;
  std::optional<std::string> backing_path;  ///< as the image has it
  std::string backing_format;               ///< empty: not said

  std::uint64_t cluster_size() const { return std::uint64_t{1} << cluster_bits; }
  unsigned refcount_bits() const { return 1u << refcount_order; }
  /// Of an L2 table.
  std::uint64_t l2_entries() const { return cluster_size() / 8; }
  /// Of a block of refcounts.
  std::uint64_t block_entries() const { return cluster_size() * 8 >> refcount_order; }
  std::uint64_t clusters_for(std::uint64_t bytes) const {
    return (bytes >> cluster_bits) + ((bytes & (cluster_size() - 1)) != 0 ? 1 : 0);
  }
  bool aligned(std::uint64_t offset) const { return (offset & (cluster_size() - 1)) == 0; }
};

/// Reads and judges; refuses what this cannot do, by name.
[[nodiscard]] Result<Header> read_header(const ImageFile& file);

/// Writes the fields of `header` that change while an image is in use, all in one sector: the place
/// of the refcount table, the incompatible and the autoclear features.
[[nodiscard]] Outcome<> update_header(ImageFile& file, const Header& header);

}  // namespace vireo::backends::qcow2
