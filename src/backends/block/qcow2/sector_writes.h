#pragma once
#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/table_cache.h"

namespace vireo::backends::qcow2 {

/// Entries of a table that is held as numbers and written in sectors of so many.
constexpr std::uint64_t kEntriesPerSector = 512 / 8;

/// The changed sectors of a table whose first entry is at `offset` in the file.
inline MetadataWrites sector_writes(std::span<const std::uint64_t> table, std::uint64_t offset,
                                    const std::set<std::uint64_t>& sectors) {
  MetadataWrites writes;
  for (const std::uint64_t sector : sectors) {
    const std::uint64_t first = sector * kEntriesPerSector;
    const std::uint64_t count = std::min(kEntriesPerSector, table.size() - first);
    std::vector<std::uint8_t> bytes(count * 8);
    for (std::uint64_t i = 0; i < count; ++i) store_big_endian(&bytes[i * 8], table[first + i]);
    writes.push_back({offset + first * 8, std::move(bytes)});
  }
  return writes;
}

/// Reads `count` entries from `offset` in the file.
inline Outcome<std::vector<std::uint64_t>> read_entries(const ImageFile& file, std::uint64_t offset,
                                                        std::uint64_t count) {
  std::vector<std::uint64_t> entries(count);
  std::vector<std::uint8_t> bytes(count * 8);
  TRY(outcome(file.read(offset, std::span(bytes))));
  for (std::uint64_t i = 0; i < count; ++i)
    entries[i] = load_big_endian<std::uint64_t>(&bytes[i * 8]);
  return entries;
}

}  // namespace vireo::backends::qcow2
