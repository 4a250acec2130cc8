#include "backends/block/qcow2/header.h"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "backends/block/image_format.h"
#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/header_extensions.h"
#include "backends/block/request_check.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::size_t kSizeVersion2 = 72;
constexpr std::size_t kSizeVersion3 = 104;
constexpr std::size_t kCompressionField = 104;

/// The first cluster, of which no more is there than the file has.
struct Reader {
  const std::string& path;
  std::span<const std::uint8_t> bytes;

  template <class T>
  T at(std::size_t offset) const {
    return load_big_endian<T>(bytes.data() + offset);
  }
  template <class... Args>
  tl::unexpected<Error> refuse(fmt::format_string<Args...> why, Args&&... args) const {
    return usage_error("the qcow2 image {} {}", path,
                       fmt::format(why, std::forward<Args>(args)...));
  }
};

Result<> read_features(const Reader& reader, const Extensions& extensions, Header& header) {
  constexpr std::uint64_t known = kDirty | kCorrupt | kExternalData | kCompressionBit | kExtendedL2;
  if ((header.incompatible & kExternalData) != 0)
    return reader.refuse("keeps its data in another file, which is not offered");
  if ((header.incompatible & kExtendedL2) != 0)
    return reader.refuse("has subclusters (extended L2 entries), which are not offered");
  for (unsigned bit = 0; bit < 64; ++bit) {
    if ((header.incompatible & ~known & std::uint64_t{1} << bit) == 0) continue;
    return reader.refuse("needs a feature that is not offered: {}", extensions.feature_name(bit));
  }
  return Unit{};
}

Result<> read_compression(const Reader& reader, std::uint32_t header_length, Header& header) {
  std::uint8_t type = 0;
  if (header_length > kCompressionField) type = reader.at<std::uint8_t>(kCompressionField);
  const bool flagged = (header.incompatible & kCompressionBit) != 0;
  if (flagged != (type != 0)) return reader.refuse("is damaged: its compression type is unclear");
  if (type > static_cast<std::uint8_t>(Compression::kZstd))
    return reader.refuse("is compressed by a method that is not offered ({})", type);
  header.compression = static_cast<Compression>(type);
  return Unit{};
}

Result<> judge_tables(const Reader& reader, const Header& header) {
  const auto good = [&](std::uint64_t offset) {
    return header.aligned(offset) && offset < kMaxHostOffset;
  };
  if (header.size % kSectorSize != 0 || header.size > kMaxHostOffset)
    return reader.refuse("has a disk of {} bytes, which is no possible size", header.size);
  if (!good(header.l1_offset) || header.l1_entries > kMaxTableBytes / 8)
    return reader.refuse("is damaged: its L1 table cannot be there");
  const std::uint64_t covered_bits = header.cluster_bits + (header.cluster_bits - 3);
  const std::uint64_t covered = std::uint64_t{1} << covered_bits;  // at most 39 bits
  const std::uint64_t needed = header.size / covered + (header.size % covered != 0 ? 1 : 0);
  if (header.l1_entries < needed || (needed != 0 && header.l1_offset == 0))
    return reader.refuse("is damaged: its L1 table is too small for the disk");
  if (!good(header.refcount_table_offset) || header.refcount_table_offset == 0 ||
      header.refcount_table_clusters == 0 ||
      header.refcount_table_clusters > kMaxRefcountBytes >> header.cluster_bits)
    return reader.refuse("is damaged: its refcount table cannot be there");
  if (header.snapshots > kMaxSnapshots || !good(header.snapshots_offset))
    return reader.refuse("is damaged: its snapshot table cannot be there");
  return Unit{};
}

Result<> read_backing(const Reader& reader, const Extensions& extensions, Header& header) {
  const auto offset = reader.at<std::uint64_t>(8);
  const auto length = reader.at<std::uint32_t>(16);
  if (offset == 0) return Unit{};
  if (length == 0) return Unit{};
  if (length > kMaxBackingPath || offset > reader.bytes.size() ||
      length > reader.bytes.size() - offset)
    return reader.refuse("is damaged: the name of its backing file cannot be there");
  const auto name = reader.bytes.subspan(offset, length);
  header.backing_path.emplace(name.begin(), name.end());
  if (header.backing_path->find('\0') != std::string::npos)
    return reader.refuse("is damaged: the name of its backing file is none");
  header.backing_format = extensions.backing_format;
  return Unit{};
}

Result<> read_version3(const Reader& reader, std::uint32_t& header_length, Header& header) {
  header.incompatible = reader.at<std::uint64_t>(72);
  header.autoclear = reader.at<std::uint64_t>(88);
  header.refcount_order = reader.at<std::uint32_t>(96);
  header_length = reader.at<std::uint32_t>(100);
  if (header.refcount_order > 6) return reader.refuse("is damaged: its refcounts have no width");
  if (header_length < kSizeVersion3 || header_length % 8 != 0 ||
      header_length > reader.bytes.size())
    return reader.refuse("is damaged: its header has no length");
  return Unit{};
}

}  // namespace

Result<Header> read_header(const ImageFile& file) {
  std::vector<std::uint8_t> bytes(kFormatHeadSize);
  const auto fill = [&]() -> Result<> {
    const auto error = file.read(0, std::span(bytes));
    if (error) return host_error("cannot read {}: {}", file.path(), error.message());
    return Unit{};
  };
  TRY(fill());
  if (tell_format(bytes) != ImageFormat::kQcow2)
    return usage_error("the image {} is no qcow2 image", file.path());
  Header header;
  header.version = load_big_endian<std::uint32_t>(bytes.data() + 4);
  header.cluster_bits = load_big_endian<std::uint32_t>(bytes.data() + 20);
  if (header.version == 2 || header.version == 3) {
    if (header.cluster_bits < 9 || header.cluster_bits > 21)
      return usage_error("the qcow2 image {} has clusters of a size that is not offered",
                         file.path());
    bytes.resize(header.cluster_size());
    TRY(fill());
  } else {
    return usage_error("the image {} is of version {} of its format; there are 2 and 3",
                       file.path(), header.version);
  }
  const Reader reader{file.path(), bytes};
  header.size = reader.at<std::uint64_t>(24);
  header.l1_entries = reader.at<std::uint32_t>(36);
  header.l1_offset = reader.at<std::uint64_t>(40);
  header.refcount_table_offset = reader.at<std::uint64_t>(48);
  header.refcount_table_clusters = reader.at<std::uint32_t>(56);
  header.snapshots = reader.at<std::uint32_t>(60);
  header.snapshots_offset = reader.at<std::uint64_t>(64);
  if (reader.at<std::uint32_t>(32) != 0) return reader.refuse("is encrypted, which is not offered");
  std::uint32_t header_length = kSizeVersion2;
  if (header.version == 3) TRY(read_version3(reader, header_length, header));
  // Without an end of their own the extensions end where the name of the backing file begins.
  auto area = reader.bytes;
  const auto name = reader.at<std::uint64_t>(8);
  if (name >= header_length && name < area.size()) area = area.first(name);
  const Extensions extensions = TRY(read_extensions(area, header_length, file.path()));
  TRY(read_features(reader, extensions, header));
  TRY(read_compression(reader, header_length, header));
  TRY(judge_tables(reader, header));
  TRY(read_backing(reader, extensions, header));
  return header;
}

Outcome<> update_header(ImageFile& file, const Header& header) {
  std::array<std::uint8_t, kSizeVersion3> bytes{};
  const auto used = std::span(bytes).first(header.version == 2 ? kSizeVersion2 : kSizeVersion3);
  TRY(outcome(file.read(0, used)));
  store_big_endian(&bytes[48], header.refcount_table_offset);
  store_big_endian(&bytes[56], header.refcount_table_clusters);
  if (header.version == 3) {
    store_big_endian(&bytes[72], header.incompatible);
    store_big_endian(&bytes[88], header.autoclear);
  }
  return outcome(file.write(0, used));
}

}  // namespace vireo::backends::qcow2
