#include "backends/block/qcow2/image.h"

#include <algorithm>
#include <utility>

#include "backends/block/qcow2/rebuild.h"

namespace vireo::backends::qcow2 {

Image::Image(std::shared_ptr<ImageFile> file, const Header& header, std::shared_ptr<Layer> below,
             std::uint64_t file_size)
    : file_(std::move(file)),
      header_(header),
      below_(std::move(below)),
      decompressor_(*file_, header_),
      metadata_(*file_, header_, file_size) {}

Result<std::shared_ptr<Image>> Image::open(std::shared_ptr<ImageFile> file, Header header,
                                           std::shared_ptr<Layer> below) {
  const std::string path = file->path();
  const auto failed = [&](const char* what, std::error_code error) {
    return host_error("cannot {} the qcow2 image {}: {}", what, path, error.message());
  };
  if (!file->read_only()) {
    if ((header.incompatible & kCorrupt) != 0)
      return usage_error("the qcow2 image {} is marked as corrupt: repair it, or open it read-only",
                         path);
    if ((header.incompatible & kDirty) != 0) TRY(rebuild_refcounts(*file, header));
    if (header.autoclear != 0) {
      header.autoclear = 0;
      const auto updated = update_header(*file, header);
      if (!updated) return failed("write to", updated.error());
    }
  }
  const auto size = file->size();
  if (!size) return failed("tell the size of", size.error());
  const bool read_only = file->read_only();
  std::shared_ptr<Image> image(new Image(std::move(file), header, std::move(below), *size));
  const auto loaded = image->metadata_.load(read_only);
  if (!loaded) return failed("read the tables of", loaded.error());
  return image;
}

bool Image::below_has(std::uint64_t guest) const {
  return below_ && guest << header_.cluster_bits < below_->size();
}

Outcome<> Image::map_below(std::uint64_t offset, std::uint64_t length, bool may_wait,
                           Extents& extents) {
  const std::uint64_t end = below_ ? below_->size() : 0;
  const std::uint64_t there = offset < end ? std::min(length, end - offset) : 0;
  if (there != 0) TRY(below_->map(offset, there, may_wait, extents));
  append_extent(extents, {.kind = Extent::Kind::kZero, .length = length - there});
  return Unit{};
}

Outcome<> Image::map(std::uint64_t offset, std::uint64_t length, bool may_wait, Extents& extents) {
  std::unique_lock lock(mutex_, std::defer_lock);
  if (may_wait)
    lock.lock();
  else if (!lock.try_lock())
    return failure(std::errc::resource_unavailable_try_again);
  return map_locked(offset, length, may_wait, extents);
}

Outcome<> Image::map_locked(std::uint64_t offset, std::uint64_t length, bool may_wait,
                            Extents& extents) {
  const std::uint64_t end = offset + length;
  while (offset < end) {
    const std::uint64_t guest = cluster_of(offset);
    if (!may_wait && !metadata_.resident(guest))
      return failure(std::errc::resource_unavailable_try_again);
    const std::uint64_t next = std::max(guest + 1, metadata_.unmapped_until(guest));
    const std::uint64_t part = std::min(end, next << header_.cluster_bits) - offset;
    const L2Entry entry = TRY(metadata_.lookup(guest));
    switch (entry.kind) {
      case ClusterKind::kUnallocated:
        TRY(map_below(offset, part, may_wait, extents));
        break;
      case ClusterKind::kZero:
        append_extent(extents, {.kind = Extent::Kind::kZero, .length = part});
        break;
      case ClusterKind::kData:
        append_extent(extents, {.kind = Extent::Kind::kData,
                                .length = part,
                                .file = file_.get(),
                                .file_offset = entry.offset + within(offset)});
        break;
      case ClusterKind::kCompressed:
        append_extent(extents, {.kind = Extent::Kind::kCompressed,
                                .length = part,
                                .file_offset = entry.offset,
                                .layer = this,
                                .compressed_length = entry.length,
                                .skip = within(offset)});
        break;
    }
    offset += part;
  }
  return Unit{};
}

Outcome<> Image::map_in_place(std::uint64_t offset, std::uint64_t length, Extents& extents) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return failure(std::errc::resource_unavailable_try_again);
  const std::uint64_t end = offset + length;
  while (offset < end) {
    const std::uint64_t guest = cluster_of(offset);
    if (!metadata_.resident(guest)) return failure(std::errc::resource_unavailable_try_again);
    const L2Entry entry = TRY(metadata_.lookup(guest));
    if (entry.kind != ClusterKind::kData || !entry.copied)
      return failure(std::errc::resource_unavailable_try_again);
    const std::uint64_t part = std::min(end, (guest + 1) << header_.cluster_bits) - offset;
    append_extent(extents, {.kind = Extent::Kind::kData,
                            .length = part,
                            .file = file_.get(),
                            .file_offset = entry.offset + within(offset)});
    offset += part;
  }
  return Unit{};
}

Outcome<> Image::read_compressed(const Extent& extent, std::span<const iovec> buffers) {
  const auto cluster = TRY(decompressor_.read(extent.file_offset, extent.compressed_length));
  copy_to(buffers, std::span(*cluster).subspan(extent.skip, extent.length));
  return Unit{};
}

}  // namespace vireo::backends::qcow2
