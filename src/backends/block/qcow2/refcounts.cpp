#include "backends/block/qcow2/refcounts.h"

#include <algorithm>

#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/sector_writes.h"
#include "base/assert.h"

namespace vireo::backends::qcow2 {
namespace {

/// Widths below a byte: where the count is, and its bits.
struct SmallCount {
  SmallCount(std::uint64_t index, unsigned order)
      : byte(index >> (3 - order)),
        shift(static_cast<unsigned>(index & ((1u << (3 - order)) - 1)) << order),
        mask((1u << (1u << order)) - 1) {}
  std::uint64_t byte;
  unsigned shift;
  unsigned mask;
};

}  // namespace

std::uint64_t get_count(std::span<const std::uint8_t> block, std::uint64_t index, unsigned order) {
  const std::uint8_t* at = block.data() + (index << order >> 3);
  if (order == 3) return *at;
  if (order == 4) return load_big_endian<std::uint16_t>(at);
  if (order == 5) return load_big_endian<std::uint32_t>(at);
  if (order == 6) return load_big_endian<std::uint64_t>(at);
  const SmallCount place(index, order);
  return static_cast<unsigned>(block[place.byte]) >> place.shift & place.mask;
}

void set_count(std::span<std::uint8_t> block, std::uint64_t index, unsigned order,
               std::uint64_t value) {
  std::uint8_t* at = block.data() + (index << order >> 3);
  if (order == 3) return store_big_endian(at, static_cast<std::uint8_t>(value));
  if (order == 4) return store_big_endian(at, static_cast<std::uint16_t>(value));
  if (order == 5) return store_big_endian(at, static_cast<std::uint32_t>(value));
  if (order == 6) return store_big_endian(at, value);
  const SmallCount place(index, order);
  const unsigned others = block[place.byte] & ~(place.mask << place.shift);
  block[place.byte] =
      static_cast<std::uint8_t>(others | static_cast<unsigned>(value) << place.shift);
}

Outcome<> Refcounts::load() {
  const std::uint64_t entries = header_.refcount_table_clusters * header_.cluster_size() / 8;
  table_ = TRY(read_entries(file_, header_.refcount_table_offset, entries));
  for (std::uint64_t& block : table_) {
    block &= ~std::uint64_t{511};
    if (!header_.aligned(block) || block >= kMaxHostOffset) return damaged();
  }
  return Unit{};
}

Outcome<std::uint64_t> Refcounts::get(std::uint64_t cluster) {
  if (cluster >= covered() || !has_block(cluster)) return 0;
  const auto block = TRY(blocks_.load(table_[block_of(cluster)]));
  return get_count(block, index_of(cluster), header_.refcount_order);
}

Outcome<> Refcounts::set(std::uint64_t cluster, std::uint64_t value) {
  if (cluster >= covered() || !has_block(cluster)) return damaged();
  const std::uint64_t offset = table_[block_of(cluster)];
  const auto block = TRY(blocks_.load(offset));
  const std::uint64_t index = index_of(cluster);
  set_count(block, index, header_.refcount_order, value);
  const std::uint64_t first = index << header_.refcount_order >> 3;
  blocks_.mark_changed(offset, first, std::max<std::uint64_t>(1, header_.refcount_bits() / 8));
  return Unit{};
}

Outcome<> Refcounts::create_block(std::uint64_t cluster) {
  const std::uint64_t offset = cluster * header_.cluster_size();
  blocks_.create(offset);
  table_[block_of(cluster)] = offset;
  changed_sectors_.insert(block_of(cluster) / kEntriesPerSector);
  return set(cluster, 1);
}

void Refcounts::replace_table(std::vector<std::uint64_t> table) {
  table_ = std::move(table);
  changed_sectors_.clear();
}

MetadataWrites Refcounts::take_table_changes() {
  auto writes = sector_writes(table_, header_.refcount_table_offset, changed_sectors_);
  changed_sectors_.clear();
  return writes;
}

void Refcounts::restore(const MetadataWrites& blocks, const MetadataWrites& table) {
  blocks_.restore(blocks);
  for (const MetadataWrite& write : table)
    changed_sectors_.insert((write.offset - header_.refcount_table_offset) / 512);
}

}  // namespace vireo::backends::qcow2
