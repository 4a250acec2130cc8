#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "backends/block/image_file.h"
#include "backends/block/outcome.h"
#include "backends/block/qcow2/header.h"

namespace vireo::backends::qcow2 {

/// Reads compressed clusters, and keeps the last few. From any thread.
class Decompressor {
 public:
  using Cluster = std::shared_ptr<const std::vector<std::uint8_t>>;

  Decompressor(const ImageFile& file, const Header& header) : file_(file), header_(header) {}
  /// The whole cluster whose compressed bytes are at most `length` from `offset` on in the file;
  /// EIO if they do not make one.
  Outcome<Cluster> read(std::uint64_t offset, std::uint64_t length);

 private:
  struct Kept {
    std::uint64_t offset;
    Cluster cluster;
  };
  Cluster find(std::uint64_t offset);

  const ImageFile& file_;
  const Header& header_;
  std::mutex mutex_;      ///< guards what is below
  std::list<Kept> kept_;  ///< the last used first
};

/// Fills `to` with what `from` holds, which may be longer than needed; EIO if it does not fill it.
[[nodiscard]] Outcome<> decompress(Compression method, std::span<const std::uint8_t> from,
                                   std::span<std::uint8_t> to);

}  // namespace vireo::backends::qcow2
