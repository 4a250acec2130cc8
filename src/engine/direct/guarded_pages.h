#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/address.h"
#include "engine/direct/stub_process.h"

namespace vireo::engine::direct {

/// The pages of code of one process that may be executed although they are not clean, for their
/// sensitive instructions have breakpoints, of which a CPU has few.
class GuardedPages {
 public:
  struct Page {
    std::uint64_t linear = 0;
    PhysAddr physical{};
    std::vector<std::uint64_t> breakpoints;  ///< linear addresses
  };

  /// The answer are those that it takes the place of: they may not be executed any more. It has at
  /// most StubProcess::kMostBreakpoints.
  std::vector<Page> add(Page page) {
    std::vector<Page> gone;
    const auto same = std::ranges::find(pages_, page.linear, &Page::linear);
    if (same != pages_.end()) pages_.erase(same);
    while (breakpoints().size() + page.breakpoints.size() > StubProcess::kMostBreakpoints) {
      gone.push_back(std::move(pages_.front()));
      pages_.pop_front();
    }
    pages_.push_back(std::move(page));
    return gone;
  }
  bool has(std::uint64_t linear, PhysAddr physical) const {
    const auto found = std::ranges::find(pages_, linear, &Page::linear);
    return found != pages_.end() && found->physical == physical;
  }
  bool has(std::uint64_t linear) const {
    return std::ranges::find(pages_, linear, &Page::linear) != pages_.end();
  }
  bool has_breakpoint(std::uint64_t address) const {
    return std::ranges::any_of(pages_, [&](const Page& page) {
      return std::ranges::find(page.breakpoints, address) != page.breakpoints.end();
    });
  }
  /// Its bytes have changed.
  void remove(PhysAddr physical) {
    std::erase_if(pages_, [&](const Page& page) { return page.physical == physical; });
  }
  /// None is guarded any more; the answer is what was.
  std::deque<Page> clear() { return std::exchange(pages_, {}); }
  std::vector<std::uint64_t> breakpoints() const {
    std::vector<std::uint64_t> result;
    for (const Page& page : pages_)
      result.insert(result.end(), page.breakpoints.begin(), page.breakpoints.end());
    return result;
  }

 private:
  std::deque<Page> pages_;  ///< the oldest first
};

}  // namespace vireo::engine::direct
