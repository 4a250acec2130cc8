#pragma once
#include <cstdint>
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
    const auto found = pages_.find(linear);
    return found != pages_.end() && found->second.physical == physical;
  }
  /// Of a page that it has.
  const std::vector<std::uint64_t>& traps(std::uint64_t linear) const {
    return pages_.at(linear).traps;
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
