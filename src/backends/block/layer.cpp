#include "backends/block/layer.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace vireo::backends {
namespace {

constexpr std::uint64_t kChunk = 4u << 20;  ///< as much as is mapped at a time

class RawLayer final : public Layer {
 public:
  RawLayer(std::shared_ptr<ImageFile> file, std::uint64_t size)
      : file_(std::move(file)), size_(size) {}
  std::uint64_t size() const override { return size_; }
  Outcome<> map(std::uint64_t offset, std::uint64_t length, bool, Extents& extents) override {
    append_extent(extents, {.kind = Extent::Kind::kData,
                            .length = length,
                            .file = file_.get(),
                            .file_offset = offset});
    return Unit{};
  }
  Outcome<> read_compressed(const Extent&, std::span<const iovec>) override { return damaged(); }

 private:
  std::shared_ptr<ImageFile> file_;
  const std::uint64_t size_;
};

}  // namespace

void append_extent(Extents& extents, const Extent& extent) {
  if (extent.length == 0) return;
  if (!extents.empty()) {
    Extent& last = extents.back();
    const bool goes_on = extent.kind != Extent::Kind::kCompressed && last.kind == extent.kind &&
                         last.file == extent.file &&
                         (extent.kind == Extent::Kind::kZero ||
                          last.file_offset + last.length == extent.file_offset);
    if (goes_on) {
      last.length += extent.length;
      return;
    }
  }
  extents.push_back(extent);
}

std::unique_ptr<Layer> make_raw_layer(std::shared_ptr<ImageFile> file, std::uint64_t size) {
  return std::make_unique<RawLayer>(std::move(file), size);
}

Outcome<> read_extents(const Extents& extents, std::span<const iovec> buffers) {
  std::uint64_t at = 0;
  for (const Extent& extent : extents) {
    Iovecs part = slice(buffers, at, extent.length);
    at += extent.length;
    switch (extent.kind) {
      case Extent::Kind::kZero:
        fill_zeroes(part);
        break;
      case Extent::Kind::kData:
        TRY(outcome(extent.file->read(extent.file_offset, std::move(part))));
        break;
      case Extent::Kind::kCompressed:
        TRY(extent.layer->read_compressed(extent, part));
        break;
    }
  }
  return Unit{};
}

Outcome<> read_layer(Layer& layer, std::uint64_t offset, std::span<const iovec> buffers) {
  const std::uint64_t total = total_length(buffers);
  for (std::uint64_t done = 0; done < total;) {
    const std::uint64_t length = std::min(kChunk, total - done);
    Extents extents;
    TRY(layer.map(offset + done, length, true, extents));
    TRY(read_extents(extents, slice(buffers, done, length)));
    done += length;
  }
  return Unit{};
}

}  // namespace vireo::backends
