#include "backends/block/qcow2/resize.h"

#include <array>
#include <utility>
#include <vector>

#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/rebuild.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::size_t kHeaderBytes = 104, kHeaderBytesVersion2 = 72;

/// All that says how large the disk is, in one sector.
Outcome<> write_size(ImageFile& file, const Header& header) {
  std::array<std::uint8_t, kHeaderBytes> bytes{};
  const auto used =
      std::span(bytes).first(header.version == 2 ? kHeaderBytesVersion2 : kHeaderBytes);
  TRY(outcome(file.read(0, used)));
  store_big_endian(&bytes[24], header.size);
  store_big_endian(&bytes[36], header.l1_entries);
  store_big_endian(&bytes[40], header.l1_offset);
  if (header.version != 2) {
    store_big_endian(&bytes[72], header.incompatible);
    store_big_endian(&bytes[88], header.autoclear);
  }
  TRY(outcome(file.write(0, used)));
  return outcome(file.sync());
}

/// A longer table at the end of the file. Its clusters are counted when the refcounts are made
/// anew, as the header says from here on.
Outcome<> move_table(ImageFile& file, Header& header, std::uint64_t entries) {
  const auto end = file.size();
  if (!end) return tl::unexpected(end.error());
  std::vector<std::uint8_t> table(header.clusters_for(entries * 8) << header.cluster_bits);
  TRY(outcome(
      file.read(header.l1_offset, std::span(table).first(std::size_t{header.l1_entries} * 8))));
  const std::uint64_t offset = header.clusters_for(*end) << header.cluster_bits;
  TRY(outcome(file.write(offset, std::span(std::as_const(table)))));
  TRY(outcome(file.sync()));
  header.l1_offset = offset;
  header.l1_entries = static_cast<std::uint32_t>(entries);
  header.incompatible |= kDirty;
  return Unit{};
}

}  // namespace

Result<> grow_image(ImageFile& file, Header& header, std::uint64_t size) {
  const std::uint64_t covered = header.l2_entries() << header.cluster_bits;
  const std::uint64_t entries = size / covered + (size % covered != 0 ? 1 : 0);
  if (entries > kMaxTableBytes / 8)
    return usage_error("the qcow2 image {} has clusters of {} bytes, too small for such a size",
                       file.path(), header.cluster_size());
  const bool moves = entries > header.l1_entries;
  if (moves && header.version == 2)
    return usage_error(
        "the qcow2 image {} is of version 2, and has no room for such a size: "
        "convert it",
        file.path());
  const auto failed = [&](std::error_code error) {
    return host_error("cannot make the image {} larger: {}", file.path(), error.message());
  };
  Header larger = header;
  larger.size = size;
  larger.autoclear = 0;
  if (moves) {
    if (const auto moved = move_table(file, larger, entries); !moved) return failed(moved.error());
  }
  if (const auto written = write_size(file, larger); !written) return failed(written.error());
  header = larger;
  if (moves) TRY(rebuild_refcounts(file, header));
  return {};
}

}  // namespace vireo::backends::qcow2
