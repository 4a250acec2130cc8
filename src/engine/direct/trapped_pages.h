#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/address.h"

namespace vireo::engine::direct {

/// The pages of code of one process that are executed as copies, with INT3 in place of the
/// sensitive instructions: those that have more of them than a CPU has debug registers. Keyed by
/// linear page.
class TrappedPages {
 public:
  /// `traps` are linear addresses in the page.
  void add(std::uint64_t linear, PhysAddr physical, std::vector<std::uint64_t> traps) {
    pages_.insert_or_assign(linear, Page{physical, std::move(traps)});
  }
  bool has(std::uint64_t linear) const { return pages_.contains(linear); }
  bool has(std::uint64_t linear, PhysAddr physical) const {
    return !traps(linear, physical).empty();
  }
  /// None if it has not that page there.
  std::span<const std::uint64_t> traps(std::uint64_t linear, PhysAddr physical) const {
    const auto found = pages_.find(linear);
    if (found == pages_.end() || found->second.physical != physical) return {};
    return found->second.traps;
  }
  bool is_trap(std::uint64_t address) const {
    const auto found = pages_.find(address & ~kPageMask);
    return found != pages_.end() &&
           std::ranges::find(found->second.traps, address) != found->second.traps.end();
  }
  /// Its bytes have changed.
  void remove(PhysAddr physical) {
    std::erase_if(pages_, [&](const auto& page) { return page.second.physical == physical; });
  }
  void clear() { pages_.clear(); }

 private:
  struct Page {
    PhysAddr physical{};
    std::vector<std::uint64_t> traps;
  };
  std::unordered_map<std::uint64_t, Page> pages_;
};

}  // namespace vireo::engine::direct
