#include "machine/boot/free_memory.h"

#include <algorithm>

namespace vireo::machine {

FreeMemory::FreeMemory(std::span<const MemoryRange> map) {
  for (const MemoryRange& range : map) {
    if (range.type == RangeType::kRam) ram_.push_back({range.base, range.end()});
  }
  free_ = ram_;
  // The real-mode vectors and the BIOS data area are nobody's to load into.
  [[maybe_unused]] const bool taken = take(0, kPageSize);
}

bool FreeMemory::take(std::uint64_t base, std::uint64_t size) {
  if (size == 0) return true;
  if (base > ~size) return false;
  const std::uint64_t end = base + size;
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (base < it->begin || end > it->end) continue;
    const Span after{end, it->end};
    it->end = base;
    if (after.begin < after.end) it = std::prev(free_.insert(std::next(it), after));
    if (it->begin == it->end) free_.erase(it);
    return true;
  }
  return false;
}

std::optional<std::uint64_t> FreeMemory::take_lowest(std::uint64_t size, std::uint64_t alignment,
                                                     std::uint64_t from, std::uint64_t to) {
  for (const Span& span : free_) {
    const std::uint64_t base = (std::max(span.begin, from) + alignment - 1) & ~(alignment - 1);
    const std::uint64_t end = std::min(span.end, to);
    if (base >= end || size > end - base) continue;
    return take(base, size) ? std::optional(base) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> FreeMemory::take_highest(std::uint64_t size, std::uint64_t alignment,
                                                      std::uint64_t from, std::uint64_t to) {
  for (auto span = free_.rbegin(); span != free_.rend(); ++span) {
    const std::uint64_t end = std::min(span->end, to);
    if (end < size) continue;
    const std::uint64_t base = (end - size) & ~(alignment - 1);
    if (base < std::max(span->begin, from)) continue;
    return take(base, size) ? std::optional(base) : std::nullopt;
  }
  return std::nullopt;
}

std::uint64_t FreeMemory::ram_end(std::uint64_t limit) const {
  std::uint64_t end = 0;
  for (const Span& span : ram_) {
    if (span.begin < limit) end = std::min(span.end, limit);
  }
  return end;
}

bool FreeMemory::is_ram(std::uint64_t base, std::uint64_t size) const {
  return std::any_of(ram_.begin(), ram_.end(), [&](const Span& span) {
    return base >= span.begin && base <= span.end && size <= span.end - base;
  });
}

}  // namespace vireo::machine
