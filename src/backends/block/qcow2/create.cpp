#include "backends/block/qcow2/create.h"

#include <algorithm>
#include <vector>

#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/header_extensions.h"
#include "backends/block/qcow2/table_layout.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::uint32_t kMagic = 0x514649fb;
constexpr std::uint32_t kHeaderLength = 104;
constexpr std::size_t kEndOfExtensions = 8;

/// The header, the extensions and the name of what is below it, as they stand in the first cluster.
std::vector<std::uint8_t> first_bytes(const Header& header) {
  std::vector<std::uint8_t> bytes(kHeaderLength);
  store_big_endian(&bytes[0], kMagic);
  store_big_endian(&bytes[4], header.version);
  store_big_endian(&bytes[20], std::uint32_t{header.cluster_bits});
  store_big_endian(&bytes[24], header.size);
  store_big_endian(&bytes[36], header.l1_entries);
  store_big_endian(&bytes[40], header.l1_offset);
  store_big_endian(&bytes[48], header.refcount_table_offset);
  store_big_endian(&bytes[56], header.refcount_table_clusters);
  store_big_endian(&bytes[96], std::uint32_t{header.refcount_order});
  store_big_endian(&bytes[100], kHeaderLength);
  if (!header.backing_format.empty()) append_backing_format(bytes, header.backing_format);
  bytes.resize(bytes.size() + kEndOfExtensions);
  if (header.backing_path) {
    store_big_endian(&bytes[8], std::uint64_t{bytes.size()});
    store_big_endian(&bytes[16], static_cast<std::uint32_t>(header.backing_path->size()));
    std::ranges::copy(*header.backing_path, std::back_inserter(bytes));
  }
  return bytes;
}

}  // namespace

Outcome<Header> create_image(ImageFile& file, std::uint64_t size,
                             const std::optional<Backing>& backing) {
  Header header;
  header.size = size;
  if (backing) {
    if (backing->path.size() > kMaxBackingPath) return failure(std::errc::filename_too_long);
    header.backing_path = backing->path;
    header.backing_format = backing->format;
  }
  const std::uint64_t covered = header.l2_entries() << header.cluster_bits;
  const std::uint64_t l1_entries = size / covered + (size % covered != 0 ? 1 : 0);
  if (l1_entries > kMaxTableBytes / 8) return failure(std::errc::file_too_large);
  header.l1_entries = static_cast<std::uint32_t>(l1_entries);
  header.l1_offset = header.cluster_size();
  const std::uint64_t start = 1 + header.clusters_for(l1_entries * 8);
  const TableLayout layout = TRY(lay_out_table(header, start, 0, header.l2_entries()));
  header.refcount_table_offset = layout.table_cluster << header.cluster_bits;
  header.refcount_table_clusters = static_cast<std::uint32_t>(layout.table_clusters);
  TRY(write_table(file, header, layout, {},
                  [&](std::uint64_t cluster) -> std::uint64_t { return cluster < start ? 1 : 0; }));
  const std::vector<std::uint8_t> bytes = first_bytes(header);
  TRY(outcome(file.write(0, std::span(bytes))));
  return header;
}

}  // namespace vireo::backends::qcow2
