#pragma once
#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "backends/block/image_file.h"
#include "backends/block/image_format.h"
#include "backends/block/layer.h"
#include "backends/block/qcow2/header.h"
#include "base/result.h"

namespace vireo::backends {

/// Opens what an image stands on, image by image, each to be read only. An image that would stand
/// on itself is refused, and so is a chain that is longer than anybody needs.
class ImageChain {
 public:
  /// All of them past the host's page cache, or all through it.
  explicit ImageChain(bool bypass_cache = false) : bypass_cache_(bypass_cache) {}
  /// Opens the next image.
  [[nodiscard]] Result<std::shared_ptr<ImageFile>> open(const std::string& path, bool read_only);
  /// What is below the image at `path`; null if nothing is.
  [[nodiscard]] Result<std::shared_ptr<Layer>> open_below(const std::string& path,
                                                          const qcow2::Header& header);
  /// An open image, and what is below it, to read.
  [[nodiscard]] Result<std::shared_ptr<Layer>> open_layer(std::shared_ptr<ImageFile> file,
                                                          ImageFormat format);

 private:
  const bool bypass_cache_;
  std::set<std::pair<dev_t, ino_t>> files_;
};

/// Where the file is that the image at `image` names as the one below it: names are seen from the
/// image's own folder. A usage error if it is no name of a file.
[[nodiscard]] Result<std::string> path_of_backing(const std::string& image, std::string name);

/// By its name, or by its content if that is empty.
[[nodiscard]] Result<ImageFormat> choose_format(const ImageFile& file, const std::string& name);

}  // namespace vireo::backends
