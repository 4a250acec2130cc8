#include "backends/block/qcow2/decompressor.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>

namespace vireo::backends::qcow2 {
namespace {

constexpr std::size_t kKeptBytes = 1u << 20;
constexpr int kMaxWindowBits =
    23;  ///< for zstd: a window takes memory, clusters have 21 bits at most
constexpr int kRawDeflate = -15;  ///< for zlib: no head, windows of any size

Outcome<> inflate_all(std::span<const std::uint8_t> from, std::span<std::uint8_t> to) {
  z_stream stream = {};
  if (::inflateInit2(&stream, kRawDeflate) != Z_OK) return failure(std::errc::not_enough_memory);
  stream.next_in = const_cast<Bytef*>(from.data());
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = to.data();
  stream.avail_out = static_cast<uInt>(to.size());
  const int result = ::inflate(&stream, Z_FINISH);
  const bool filled = stream.avail_out == 0;
  ::inflateEnd(&stream);
  // With bytes of others behind its own a stream may end in an error of the buffers.
  if (!filled || (result != Z_STREAM_END && result != Z_BUF_ERROR && result != Z_OK))
    return damaged();
  return Unit{};
}

Outcome<> zstd_all(std::span<const std::uint8_t> from, std::span<std::uint8_t> to) {
  const std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(),
                                                                          &ZSTD_freeDStream);
  if (!stream) return failure(std::errc::not_enough_memory);
  ::ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, kMaxWindowBits);
  ZSTD_inBuffer input{from.data(), from.size(), 0};
  ZSTD_outBuffer output{to.data(), to.size(), 0};
  while (output.pos < output.size) {
    const std::size_t in_before = input.pos, out_before = output.pos;
    const std::size_t result = ::ZSTD_decompressStream(stream.get(), &output, &input);
    if (::ZSTD_isError(result)) return damaged();
    const bool stuck = input.pos == in_before && output.pos == out_before;
    if (output.pos < output.size && (result == 0 || stuck)) return damaged();
  }
  return Unit{};
}

}  // namespace

Outcome<> decompress(Compression method, std::span<const std::uint8_t> from,
                     std::span<std::uint8_t> to) {
  return method == Compression::kZstd ? zstd_all(from, to) : inflate_all(from, to);
}

Decompressor::Cluster Decompressor::find(std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const Kept& kept) { return kept.offset == offset; });
  if (found == kept_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, found);
  return found->cluster;
}

Outcome<Decompressor::Cluster> Decompressor::read(std::uint64_t offset, std::uint64_t length) {
  if (Cluster kept = find(offset)) return kept;
  std::vector<std::uint8_t> compressed(length);
  TRY(outcome(file_.read(offset, std::span(compressed))));
  auto bytes = std::make_shared<std::vector<std::uint8_t>>(header_.cluster_size());
  TRY(decompress(header_.compression, compressed, *bytes));
  const Cluster cluster = std::move(bytes);
  const std::lock_guard lock(mutex_);
  kept_.push_front({offset, cluster});
  const std::size_t most = std::max<std::size_t>(1, kKeptBytes >> header_.cluster_bits);
  if (kept_.size() > most) kept_.pop_back();
  return cluster;
}

}  // namespace vireo::backends::qcow2
