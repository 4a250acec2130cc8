#include "backends/block/qcow2/snapshots.h"

#include <array>

#include "backends/block/qcow2/big_endian.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::size_t kFixedPart = 40;
constexpr std::uint32_t kMaxExtra = 1024;
constexpr std::uint64_t kMaxListBytes = std::uint64_t{64} << 20;

}  // namespace

Outcome<Snapshots> read_snapshots(const ImageFile& file, const Header& header) {
  Snapshots snapshots;
  for (std::uint32_t i = 0; i < header.snapshots; ++i) {
    std::array<std::uint8_t, kFixedPart> fixed{};
    TRY(outcome(file.read(header.snapshots_offset + snapshots.bytes, std::span(fixed))));
    SnapshotTable table;
    table.l1_offset = load_big_endian<std::uint64_t>(&fixed[0]);
    table.l1_entries = load_big_endian<std::uint32_t>(&fixed[8]);
    const auto extra = load_big_endian<std::uint32_t>(&fixed[36]);
    const bool good = header.aligned(table.l1_offset) && table.l1_offset < kMaxHostOffset &&
                      table.l1_entries <= kMaxTableBytes / 8 && extra <= kMaxExtra;
    if (!good) return damaged();
    const std::uint64_t strings = std::uint64_t{load_big_endian<std::uint16_t>(&fixed[12])} +
                                  load_big_endian<std::uint16_t>(&fixed[14]);
    snapshots.bytes += (kFixedPart + extra + strings + 7) & ~std::uint64_t{7};
    if (snapshots.bytes > kMaxListBytes) return damaged();
    snapshots.tables.push_back(table);
  }
  return snapshots;
}

}  // namespace vireo::backends::qcow2
