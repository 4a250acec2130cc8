#include "backends/block/image_chain.h"

#include <sys/stat.h>

#include <array>
#include <filesystem>

#include "backends/block/qcow2/image.h"

namespace vireo::backends {
namespace {

constexpr std::size_t kMostImages = 64;

}  // namespace

Result<std::string> path_of_backing(const std::string& image, std::string name) {
  static constexpr std::string_view kFile = "file:";  // sometimes there is a protocol
  if (name.starts_with(kFile)) name.erase(0, kFile.size());
  const std::size_t colon = name.find(':');
  if (colon != std::string::npos && colon < name.find('/'))
    return usage_error("the image {} stands on '{}', which is no path of a file", image, name);
  return (std::filesystem::path(image).parent_path() / name).string();
}

Result<ImageFormat> choose_format(const ImageFile& file, const std::string& name) {
  if (!name.empty()) return format_by_name(name);
  std::array<std::uint8_t, kFormatHeadSize> head{};
  if (const auto error = file.read(0, std::span(head)))
    return host_error("cannot read the image {}: {}", file.path(), error.message());
  return tell_format(head);
}

Result<std::shared_ptr<ImageFile>> ImageChain::open(const std::string& path, bool read_only) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0 && !files_.emplace(info.st_dev, info.st_ino).second)
    return usage_error("the image {} stands on itself", path);
  if (files_.size() > kMostImages)
    return usage_error("the image {} stands on more than {} others", path, kMostImages);
  return ImageFile::open(path, read_only, bypass_cache_);
}

Result<std::shared_ptr<Layer>> ImageChain::open_below(const std::string& path,
                                                      const qcow2::Header& header) {
  if (!header.backing_path) return nullptr;
  const std::string below = TRY(path_of_backing(path, *header.backing_path));
  auto file = TRY(open(below, true));
  const ImageFormat format = TRY(choose_format(*file, header.backing_format));
  return open_layer(std::move(file), format);
}

Result<std::shared_ptr<Layer>> ImageChain::open_layer(std::shared_ptr<ImageFile> file,
                                                      ImageFormat format) {
  if (format == ImageFormat::kRaw) {
    const auto size = file->size();
    if (!size)
      return host_error("cannot tell the size of {}: {}", file->path(), size.error().message());
    return make_raw_layer(std::move(file), *size);
  }
  const qcow2::Header header = TRY(qcow2::read_header(*file));
  auto below = TRY(open_below(file->path(), header));
  return TRY(qcow2::Image::open(std::move(file), header, std::move(below)));
}

}  // namespace vireo::backends
