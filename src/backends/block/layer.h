#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "backends/block/image_file.h"
#include "backends/block/outcome.h"

namespace vireo::backends {

class Layer;

/// Where bytes of a disk come from.
struct Extent {
  enum class Kind : std::uint8_t { kZero, kData, kCompressed };
  Kind kind = Kind::kZero;
  std::uint64_t length = 0;
  const ImageFile* file = nullptr;  ///< kData
  std::uint64_t file_offset = 0;    ///< kData; kCompressed: of the compressed bytes
  Layer* layer = nullptr;           ///< kCompressed: whose
  std::uint64_t compressed_length = 0;
  std::uint64_t skip = 0;  ///< kCompressed: decompressed bytes in front of the first one wanted
};
using Extents = std::vector<Extent>;

/// Adds at the end, to the last one if it goes on there.
void append_extent(Extents& extents, const Extent& extent);

/// One image of a chain in which each stands on the next: what one does not have comes from the one
/// below. From any thread.
class Layer {
 public:
  virtual ~Layer() = default;
  virtual std::uint64_t size() const = 0;  ///< bytes of the disk
  /// Says where a range inside the disk comes from. EAGAIN unless `may_wait`, if that needs the
  /// disk or a lock.
  virtual Outcome<> map(std::uint64_t offset, std::uint64_t length, bool may_wait,
                        Extents& extents) = 0;
  /// The bytes of an extent that this layer said is compressed.
  virtual Outcome<> read_compressed(const Extent& extent, std::span<const iovec> buffers) = 0;
};

/// An image whose bytes are those of its file.
std::unique_ptr<Layer> make_raw_layer(std::shared_ptr<ImageFile> file, std::uint64_t size);

/// Waits until a range of the disk is in the buffers, which are as long.
Outcome<> read_extents(const Extents& extents, std::span<const iovec> buffers);
Outcome<> read_layer(Layer& layer, std::uint64_t offset, std::span<const iovec> buffers);

}  // namespace vireo::backends
