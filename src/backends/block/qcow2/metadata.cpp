#include "backends/block/qcow2/metadata.h"

#include <algorithm>

#include "backends/block/qcow2/big_endian.h"
#include "backends/block/qcow2/sector_writes.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::uint64_t kL2CacheBytes = 32u << 20;
constexpr std::uint64_t kRefcountCacheBytes = 8u << 20;
constexpr std::size_t kLeastTables = 8;
constexpr std::size_t kManyReleases = 1u << 18;

std::size_t capacity(std::uint64_t bytes, const Header& header) {
  return std::max<std::size_t>(kLeastTables, bytes >> header.cluster_bits);
}

}  // namespace

Metadata::Metadata(ImageFile& file, const Header& header, std::uint64_t file_size)
    : file_(file),
      header_(header),
      l2_(file, header.cluster_size(), capacity(kL2CacheBytes, header)),
      refcounts_(file, header, capacity(kRefcountCacheBytes, header)),
      allocator_(file, header, refcounts_, file_size) {}

Outcome<> Metadata::load(bool read_only) {
  l1_ = TRY(read_entries(file_, header_.l1_offset, header_.l1_entries));
  if (!read_only) TRY(refcounts_.load());
  return Unit{};
}

Outcome<std::uint64_t> Metadata::l2_offset(std::uint64_t l1_entry) const {
  const std::uint64_t offset = l1_entry & kOffsetMask;
  if (!header_.aligned(offset)) return damaged();
  return offset;
}

bool Metadata::resident(std::uint64_t guest) const {
  const std::uint64_t offset = l1_[l1_index(guest)] & kOffsetMask;
  return offset == 0 || l2_.holds(offset);
}

std::uint64_t Metadata::unmapped_until(std::uint64_t guest) const {
  const std::uint64_t index = l1_index(guest);
  if ((l1_[index] & kOffsetMask) != 0) return guest;
  return (index + 1) * header_.l2_entries();
}

Outcome<L2Entry> Metadata::lookup(std::uint64_t guest) {
  const std::uint64_t offset = TRY(l2_offset(l1_[l1_index(guest)]));
  if (offset == 0) return L2Entry{};
  const auto table = TRY(l2_.load(offset));
  const std::uint64_t at = guest % header_.l2_entries() * 8;
  return parse_l2_entry(load_big_endian<std::uint64_t>(&table[at]), header_);
}

Outcome<> Metadata::make_writable(std::uint64_t guest) {
  const std::uint64_t index = l1_index(guest);
  const std::uint64_t old = TRY(l2_offset(l1_[index]));
  if (old != 0 && (l1_[index] & kCopied) != 0) {
    TRY(l2_.load(old));
    return Unit{};
  }
  std::vector<std::uint8_t> content;
  if (old != 0) {
    const auto shared = TRY(l2_.load(old));
    content.assign(shared.begin(), shared.end());
  }
  const std::uint64_t cluster = TRY(allocator_.take_for_table());
  const auto used = allocator_.use(cluster);
  if (!used) {
    allocator_.abandon({cluster, 1});
    return used;
  }
  const std::uint64_t offset = cluster * header_.cluster_size();
  const auto table = l2_.create(offset);
  std::copy(content.begin(), content.end(), table.begin());
  l1_[index] = offset | kCopied;
  changed_l1_sectors_.insert(index / kEntriesPerSector);
  if (old != 0) releases_.push_back({old >> header_.cluster_bits, false});
  return Unit{};
}

Outcome<> Metadata::set_entry(std::uint64_t guest, std::uint64_t raw, bool give_back) {
  const std::uint64_t offset = TRY(l2_offset(l1_[l1_index(guest)]));
  const auto table = TRY(l2_.load(offset));
  const std::uint64_t at = guest % header_.l2_entries() * 8;
  const L2Entry old = TRY(parse_l2_entry(load_big_endian<std::uint64_t>(&table[at]), header_));
  store_big_endian(&table[at], raw);
  l2_.mark_changed(offset, at, 8);
  const bool same_place = old.has_place() && (raw & kOffsetMask) == old.offset;
  if (!same_place) release_later(old, give_back);
  return Unit{};
}

void Metadata::release_later(const L2Entry& entry, bool give_back) {
  if (entry.offset == 0) return;
  if (entry.kind != ClusterKind::kCompressed) {
    releases_.push_back({entry.offset >> header_.cluster_bits, give_back});
    return;
  }
  const std::uint64_t last = (entry.offset + entry.length - 1) >> header_.cluster_bits;
  for (std::uint64_t cluster = entry.offset >> header_.cluster_bits; cluster <= last; ++cluster)
    releases_.push_back({cluster, give_back});
}

bool Metadata::crowded() const {
  return l2_.changed() > l2_.capacity() / 2 ||
         refcounts_.changed_blocks() > refcounts_.blocks_capacity() / 2 ||
         releases_.size() > kManyReleases;
}

MetadataChanges Metadata::take_changes() {
  MetadataChanges changes;
  changes.refcount_blocks = refcounts_.take_block_changes();
  changes.refcount_table = refcounts_.take_table_changes();
  changes.l2_tables = l2_.take_changes();
  changes.l1_table = sector_writes(l1_, header_.l1_offset, changed_l1_sectors_);
  changed_l1_sectors_.clear();
  changes.releases = std::exchange(releases_, {});
  return changes;
}

void Metadata::settle() {
  l2_.settle();
  refcounts_.settle();
}

void Metadata::restore(MetadataChanges taken) {
  refcounts_.restore(taken.refcount_blocks, taken.refcount_table);
  l2_.restore(taken.l2_tables);
  for (const MetadataWrite& write : taken.l1_table)
    changed_l1_sectors_.insert((write.offset - header_.l1_offset) / 512);
  releases_.insert(releases_.end(), taken.releases.begin(), taken.releases.end());
}

}  // namespace vireo::backends::qcow2
