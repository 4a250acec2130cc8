#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backends/block/qcow2/check.h"
#include "base/result.h"

/// What users do with images that no machine runs from. All calls wait for the disk, and take the
/// locks of images (image_lock.h). A format is "raw", "qcow2" or, where an image is there already,
/// empty: told by its content.
namespace vireo::backends {

struct ImageInfo {
  std::string path, format;
  std::uint64_t disk_bytes = 0;  ///< what a guest sees
  std::uint64_t file_bytes = 0;
  std::uint64_t host_bytes = 0;  ///< what the file takes on the host
  // Of qcow2 images.
  unsigned version = 0;
  std::uint64_t cluster_bytes = 0;
  std::string compression;  ///< how clusters are compressed, if any are
  unsigned snapshots = 0;
  bool dirty = false, corrupt = false;
  std::optional<std::string> backing_path;  ///< as the image has it
  std::string backing_format;
};
[[nodiscard]] Result<ImageInfo> describe_image(const std::string& path, const std::string& format);

/// An image and those below it, the lowest last.
struct ImageStack {
  std::vector<ImageInfo> images;  ///< one at least
  std::string broken;             ///< why what the last one stands on cannot be described, if so
};
[[nodiscard]] Result<ImageStack> describe_stack(const std::string& path, const std::string& format);

/// An image of zeroes that takes next to no room. `size` in bytes, a multiple of 512, not 0.
[[nodiscard]] Result<> create_image_file(const std::string& path, const std::string& format,
                                         std::uint64_t size);

/// A qcow2 image that shows what is in another one, which stays as it is. The new one names it by
/// `backing`, seen from the new one's folder unless it is absolute, and by its format. Without a
/// size the disk is as large as the other's.
[[nodiscard]] Result<> create_image_over(const std::string& path, const std::string& backing,
                                         const std::string& backing_format,
                                         std::optional<std::uint64_t> size);

struct ImageCheck {
  bool has_tables = false;  ///< raw images have none: nothing can be wrong
  bool dirty = false;       ///< not closed; a program that opens it to write mends it
  bool mended = false;
  qcow2::Findings findings;  ///< as they are now
};
/// With `repair` counts are made anew if they are wrong.
[[nodiscard]] Result<ImageCheck> check_image_file(const std::string& path,
                                                  const std::string& format, bool repair);

/// Told how many bytes of the disk are done, of how many.
using ImageProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Copies what a guest would see of one image, and those below it, into a new one, which is there
/// when all of it is; zeroes take no room in it.
[[nodiscard]] Result<> convert_image(const std::string& from, const std::string& from_format,
                                     const std::string& to, const std::string& to_format,
                                     const ImageProgress& progress);

/// The new size, in bytes, a multiple of 512, not 0. Only raw images can become smaller, and only
/// if `shrink` allows for the loss of what is behind it.
[[nodiscard]] Result<> resize_image(const std::string& path, const std::string& format,
                                    std::uint64_t size, bool shrink);

}  // namespace vireo::backends
