#include "backends/block/image_tool.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "backends/block/image_chain.h"
#include "backends/block/image_file.h"
#include "backends/block/new_file.h"
#include "backends/block/qcow2/create.h"
#include "backends/block/qcow2/rebuild.h"
#include "backends/block/qcow2/resize.h"
#include "backends/block/request_check.h"

namespace vireo::backends {
namespace {

constexpr std::uint64_t kHostBlock = 512;  ///< in which the host counts what files take

Result<> check_size(std::uint64_t size) {
  if (size == 0 || size % kSectorSize != 0)
    return usage_error("a disk has a multiple of {} bytes, not {}", kSectorSize, size);
  if (size > static_cast<std::uint64_t>(INT64_MAX))
    return usage_error("a disk of {} bytes is too large", size);
  return {};
}

Result<std::uint64_t> size_of(const ImageFile& file) {
  const auto size = file.size();
  if (!size)
    return host_error("cannot tell the size of {}: {}", file.path(), size.error().message());
  return *size;
}

Result<> set_file_size(const ImageFile& file, std::uint64_t size) {
  if (::ftruncate(file.fd(), static_cast<off_t>(size)) == 0) return {};
  return host_error("cannot make the file {} {} bytes long: {}", file.path(), size,
                    std::generic_category().message(errno));
}

}  // namespace

Result<ImageInfo> describe_image(const std::string& path, const std::string& format) {
  const auto file = TRY(ImageFile::open(path, true));
  const ImageFormat kind = TRY(choose_format(*file, format));
  ImageInfo info{.path = path, .format = kind == ImageFormat::kRaw ? "raw" : "qcow2"};
  info.file_bytes = info.disk_bytes = TRY(size_of(*file));
  struct stat host = {};
  if (::fstat(file->fd(), &host) == 0)
    info.host_bytes = static_cast<std::uint64_t>(host.st_blocks) * kHostBlock;
  if (kind == ImageFormat::kRaw) return info;
  const qcow2::Header header = TRY(qcow2::read_header(*file));
  info.disk_bytes = header.size;
  info.version = header.version;
  info.cluster_bytes = header.cluster_size();
  info.compression = header.compression == qcow2::Compression::kZstd ? "zstd" : "zlib";
  info.snapshots = header.snapshots;
  info.dirty = (header.incompatible & qcow2::kDirty) != 0;
  info.corrupt = (header.incompatible & qcow2::kCorrupt) != 0;
  info.backing_path = header.backing_path;
  info.backing_format = header.backing_format;
  return info;
}

Result<ImageStack> describe_stack(const std::string& path, const std::string& format) {
  ImageStack stack{.images = {TRY(describe_image(path, format))}, .broken = {}};
  ImageChain chain;
  TRY(chain.open(path, true));
  const auto describe_below = [&chain](const ImageInfo& image) -> Result<ImageInfo> {
    const std::string below = TRY(path_of_backing(image.path, *image.backing_path));
    TRY(chain.open(below, true));
    return describe_image(below, image.backing_format);
  };
  while (stack.images.back().backing_path) {
    auto below = describe_below(stack.images.back());
    if (!below) {
      stack.broken = below.error().message;
      break;
    }
    stack.images.push_back(std::move(*below));
  }
  return stack;
}

Result<> create_image_over(const std::string& path, const std::string& backing,
                           const std::string& backing_format, std::optional<std::uint64_t> size) {
  if (size) TRY(check_size(*size));
  NewFile target = TRY(NewFile::create(path));
  const std::string below = TRY(path_of_backing(path, backing));
  ImageChain chain;
  const auto file = TRY(chain.open(below, true));
  const ImageFormat kind = TRY(choose_format(*file, backing_format));
  const auto layer = TRY(chain.open_layer(file, kind));
  const std::uint64_t whole = (layer->size() + kSectorSize - 1) / kSectorSize * kSectorSize;
  TRY(check_size(size.value_or(whole)));
  const qcow2::Backing named{backing, kind == ImageFormat::kRaw ? "raw" : "qcow2"};
  if (const auto made = qcow2::create_image(*target.file(), size.value_or(whole), named); !made)
    return host_error("cannot write the image {}: {}", path, made.error().message());
  return target.publish();
}

Result<> create_image_file(const std::string& path, const std::string& format, std::uint64_t size) {
  const ImageFormat kind = TRY(format_by_name(format));
  TRY(check_size(size));
  NewFile target = TRY(NewFile::create(path));
  if (kind == ImageFormat::kRaw) {
    TRY(set_file_size(*target.file(), size));
  } else if (const auto made = qcow2::create_image(*target.file(), size); !made) {
    return host_error("cannot write the image {}: {}", path, made.error().message());
  }
  return target.publish();
}

Result<ImageCheck> check_image_file(const std::string& path, const std::string& format,
                                    bool repair) {
  const auto file = TRY(ImageFile::open(path, !repair));
  ImageCheck result;
  if (TRY(choose_format(*file, format)) == ImageFormat::kRaw) return result;
  qcow2::Header header = TRY(qcow2::read_header(*file));
  result.has_tables = true;
  result.dirty = (header.incompatible & qcow2::kDirty) != 0;
  result.findings = TRY(qcow2::check_image(*file, header));
  const bool wrong = result.dirty || result.findings.leaks != 0 || result.findings.errors != 0;
  if (!repair || !wrong || result.findings.unreadable) return result;
  TRY(qcow2::rebuild_refcounts(*file, header));
  result.findings = TRY(qcow2::check_image(*file, header));
  result.dirty = false;
  result.mended = true;
  return result;
}

Result<> resize_image(const std::string& path, const std::string& format, std::uint64_t size,
                      bool shrink) {
  TRY(check_size(size));
  const auto file = TRY(ImageFile::open(path, false));
  const ImageFormat kind = TRY(choose_format(*file, format));
  if (file->is_device()) return usage_error("{} is a device, which has the size that it has", path);
  if (kind == ImageFormat::kRaw) {
    if (size < TRY(size_of(*file)) && !shrink)
      return usage_error("the image {} is larger: what is behind {} bytes would be lost", path,
                         size);
    TRY(set_file_size(*file, size));
  } else {
    qcow2::Header header = TRY(qcow2::read_header(*file));
    if (size < header.size)
      return usage_error("the qcow2 image {} is larger, and cannot be made smaller", path);
    if ((header.incompatible & (qcow2::kDirty | qcow2::kCorrupt)) != 0)
      return usage_error("the qcow2 image {} has to be repaired first", path);
    if (size != header.size) TRY(qcow2::grow_image(*file, header, size));
  }
  if (const auto error = file->sync())
    return host_error("cannot write to {}: {}", path, error.message());
  return {};
}

}  // namespace vireo::backends
