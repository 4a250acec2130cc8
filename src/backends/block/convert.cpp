#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backends/block/image_chain.h"
#include "backends/block/image_tool.h"
#include "backends/block/layer.h"
#include "backends/block/new_file.h"
#include "backends/block/qcow2/create.h"
#include "backends/block/qcow2/image.h"
#include "backends/block/request_check.h"

namespace vireo::backends {
namespace {

constexpr std::uint64_t kChunk = 2 << 20;   ///< read at a time
constexpr std::uint64_t kPiece = 64 << 10;  ///< written or, if it is zeroes, not

/// Where the copy goes.
class Target {
 public:
  virtual ~Target() = default;
  virtual Outcome<> write(std::uint64_t offset, std::span<std::uint8_t> bytes) = 0;
  virtual Outcome<> finish() = 0;
};

class RawTarget final : public Target {
 public:
  RawTarget(ImageFile& file, std::uint64_t size) : file_(file), size_(size) {}
  Outcome<> write(std::uint64_t offset, std::span<std::uint8_t> bytes) override {
    return outcome(file_.write(offset, std::span<const std::uint8_t>(bytes)));
  }
  Outcome<> finish() override {
    if (::ftruncate(file_.fd(), static_cast<off_t>(size_)) == 0) return Unit{};
    return outcome({errno, std::generic_category()});
  }

 private:
  ImageFile& file_;
  const std::uint64_t size_;
};

class Qcow2Target final : public Target {
 public:
  explicit Qcow2Target(std::shared_ptr<qcow2::Image> image) : image_(std::move(image)) {}
  Outcome<> write(std::uint64_t offset, std::span<std::uint8_t> bytes) override {
    const iovec buffer{bytes.data(), bytes.size()};
    return image_->write(offset, {&buffer, 1});
  }
  Outcome<> finish() override { return image_->commit(); }

 private:
  const std::shared_ptr<qcow2::Image> image_;
};

bool is_zero(std::span<const std::uint8_t> bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// Whether the host's file has a hole there.
bool is_hole(const Extent& extent) {
  if (extent.kind != Extent::Kind::kData || extent.file->is_device()) return false;
  const off_t data = ::lseek(extent.file->fd(), static_cast<off_t>(extent.file_offset), SEEK_DATA);
  if (data < 0) return errno == ENXIO;
  return static_cast<std::uint64_t>(data) >= extent.file_offset + extent.length;
}

/// The pieces of `bytes` that are not zeroes, as long as they come.
Outcome<> write_pieces(Target& target, std::uint64_t offset, std::span<std::uint8_t> bytes) {
  for (std::uint64_t at = 0; at < bytes.size();) {
    std::uint64_t end = at;
    const auto piece_at = [&](std::uint64_t from) {
      return bytes.subspan(from, std::min<std::uint64_t>(kPiece, bytes.size() - from));
    };
    while (end < bytes.size() && !is_zero(piece_at(end))) end += piece_at(end).size();
    if (end != at) TRY(target.write(offset + at, bytes.subspan(at, end - at)));
    at = end;
    while (at < bytes.size() && is_zero(piece_at(at))) at += piece_at(at).size();
  }
  return Unit{};
}

Outcome<> copy_chunk(Layer& from, Target& to, std::uint64_t offset, std::span<std::uint8_t> room) {
  Extents extents;
  TRY(from.map(offset, room.size(), true, extents));
  const auto empty = [](const Extent& extent) {
    return extent.kind == Extent::Kind::kZero || is_hole(extent);
  };
  if (std::ranges::all_of(extents, empty)) return Unit{};
  const iovec buffer{room.data(), room.size()};
  TRY(read_extents(extents, {&buffer, 1}));
  return write_pieces(to, offset, room);
}

Result<std::unique_ptr<Target>> open_target(const NewFile& file, ImageFormat format,
                                            std::uint64_t size) {
  if (format == ImageFormat::kRaw) return std::make_unique<RawTarget>(*file.file(), size);
  const auto header = qcow2::create_image(*file.file(), size);
  if (!header)
    return host_error("cannot write the image {}: {}", file.file()->path(),
                      header.error().message());
  return std::make_unique<Qcow2Target>(TRY(qcow2::Image::open(file.file(), *header, nullptr)));
}

}  // namespace

Result<> convert_image(const std::string& from, const std::string& from_format,
                       const std::string& to, const std::string& to_format,
                       const ImageProgress& progress) {
  const ImageFormat format = TRY(format_by_name(to_format));
  ImageChain chain;
  auto source_file = TRY(chain.open(from, true));
  const ImageFormat source_format = TRY(choose_format(*source_file, from_format));
  const auto source = TRY(chain.open_layer(std::move(source_file), source_format));
  const std::uint64_t size = source->size();
  if (size % kSectorSize != 0)
    return usage_error("the image {} has {} bytes, which is no multiple of {}: make it longer",
                       from, size, kSectorSize);
  NewFile file = TRY(NewFile::create(to));
  const auto target = TRY(open_target(file, format, size));
  std::vector<std::uint8_t> room(std::min(kChunk, size));
  for (std::uint64_t at = 0; at < size; at += kChunk) {
    progress(at, size);
    const auto bytes = std::span(room).first(std::min(kChunk, size - at));
    if (const auto copied = copy_chunk(*source, *target, at, bytes); !copied)
      return host_error("cannot copy the image {} to {}: {}", from, to, copied.error().message());
  }
  if (const auto done = target->finish(); !done)
    return host_error("cannot write the image {}: {}", to, done.error().message());
  TRY(file.publish());
  progress(size, size);
  return {};
}

}  // namespace vireo::backends
