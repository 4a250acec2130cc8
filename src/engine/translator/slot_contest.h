#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace vireo::engine::translator {

/// Notices accesses that take one slot of the TLB from each other, in turns and without end,
/// because a large power of two lies between what they walk through. One of them has to look
/// elsewhere.
class SlotContest {
 public:
  SlotContest() { recent_.fill(kNobody); }

  /// Misses in a row, each of one of a few sites. Odd, so that the loser is not always the same.
  static constexpr unsigned kPatience = 33;
  static constexpr std::uint32_t kNobody = ~0u;

  /// A site missed a page that its slot held until another came. True: the site has lost.
  [[gnu::always_inline]] bool note(std::uint32_t site) {
    bool known = false;
    for (const std::uint32_t each : recent_) known |= each == site;
    streak_ = known ? streak_ + 1 : 0;
    recent_[next_++ % recent_.size()] = site;
    if (streak_ < kPatience) return false;
    streak_ = 0;
    loser_ = site;
    return true;
  }
  /// Whether this is the one that lost last; it is told once.
  bool lost(std::uint32_t site) { return std::exchange(loser_, kNobody) == site; }

 private:
  std::array<std::uint32_t, 16> recent_;
  std::size_t next_ = 0;
  unsigned streak_ = 0;
  std::uint32_t loser_ = kNobody;
};

}  // namespace vireo::engine::translator
