#include "backends/block/qcow2/table_cache.h"

#include <algorithm>

#include "base/assert.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::uint64_t kPartSize = 4096;  ///< what is written of a changed table, in bytes

}  // namespace

TableCache::TableCache(const ImageFile& file, std::uint64_t cluster_size, std::size_t capacity)
    : file_(file),
      cluster_size_(cluster_size),
      part_size_(std::min(cluster_size, kPartSize)),
      capacity_(capacity) {}

Outcome<std::span<std::uint8_t>> TableCache::load(std::uint64_t offset) {
  const auto found = tables_.find(offset);
  if (found != tables_.end()) {
    Table& table = found->second;
    by_age_.splice(by_age_.end(), by_age_, table.age);
    return std::span(table.bytes);
  }
  std::vector<std::uint8_t> bytes(cluster_size_);
  TRY(outcome(file_.read(offset, std::span(bytes))));
  Table& table = insert(offset);
  table.bytes = std::move(bytes);
  return std::span(table.bytes);
}

std::span<std::uint8_t> TableCache::create(std::uint64_t offset) {
  drop(offset);
  Table& table = insert(offset);
  table.bytes.resize(cluster_size_);
  mark_changed(offset, 0, cluster_size_);
  return table.bytes;
}

TableCache::Table& TableCache::insert(std::uint64_t offset) {
  make_room();
  Table& table = tables_[offset];
  table.changed_parts.resize(cluster_size_ / part_size_);
  table.age = by_age_.insert(by_age_.end(), offset);
  return table;
}

void TableCache::make_room() {
  auto oldest = by_age_.begin();
  while (tables_.size() >= capacity_ && oldest != by_age_.end()) {
    const auto found = tables_.find(*oldest);
    if (found->second.changed || found->second.being_written) {
      ++oldest;
      continue;
    }
    oldest = by_age_.erase(oldest);
    tables_.erase(found);
  }
}

void TableCache::drop(std::uint64_t offset) {
  const auto found = tables_.find(offset);
  if (found == tables_.end()) return;
  if (found->second.changed) --changed_;
  by_age_.erase(found->second.age);
  tables_.erase(found);
}

void TableCache::mark_changed(std::uint64_t offset, std::uint64_t at, std::uint64_t length) {
  Table& table = tables_.at(offset);
  for (std::uint64_t part = at / part_size_; part * part_size_ < at + length; ++part)
    table.changed_parts[part] = true;
  if (!table.changed) ++changed_;
  table.changed = true;
}

MetadataWrites TableCache::take_changes() {
  MetadataWrites writes;
  if (changed_ == 0) return writes;
  for (auto& [offset, table] : tables_) {
    if (!table.changed) continue;
    const std::size_t parts = table.changed_parts.size();
    for (std::size_t part = 0; part < parts; ++part) {
      if (!table.changed_parts[part]) continue;
      const std::size_t first = part;
      while (part < parts && table.changed_parts[part]) ++part;
      const auto begin = table.bytes.begin() + static_cast<std::ptrdiff_t>(first * part_size_);
      const auto end = table.bytes.begin() + static_cast<std::ptrdiff_t>(part * part_size_);
      writes.push_back({offset + first * part_size_, {begin, end}});
    }
    std::fill(table.changed_parts.begin(), table.changed_parts.end(), false);
    table.changed = false;
    table.being_written = true;
  }
  changed_ = 0;
  return writes;
}

void TableCache::settle() {
  for (auto& [offset, table] : tables_) table.being_written = false;
}

void TableCache::restore(const MetadataWrites& taken) {
  for (const MetadataWrite& write : taken) {
    const std::uint64_t table = write.offset & ~(cluster_size_ - 1);
    if (tables_.contains(table)) mark_changed(table, write.offset - table, write.bytes.size());
  }
  settle();
}

}  // namespace vireo::backends::qcow2
