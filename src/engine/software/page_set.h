#pragma once
#include <cstdint>
#include <unordered_set>

#include "engine/software/page_filter.h"

namespace vireo::engine {

/// A set of pages, exactly: what a PageFilter says quickly of most others is looked up for the
/// rest.
class PageSet {
 public:
  void add(std::uint64_t linear, unsigned shift) {
    filter_.add(linear, shift);
    pages_.insert(name(linear, shift));
  }
  /// Whether a page that covers the address was added.
  bool holds(std::uint64_t linear) const {
    if (!filter_.may_hold(linear)) return false;
    for (const unsigned shift : {PageFilter::kSmall, PageFilter::kLarge, PageFilter::kHuge})
      if (pages_.contains(name(linear, shift))) return true;
    return false;
  }
  void clear() {
    filter_.clear();
    pages_.clear();
  }

 private:
  /// Of a page: its first address, and its size in what is always 0 there.
  static std::uint64_t name(std::uint64_t linear, unsigned shift) {
    return (linear >> shift << shift) | shift;
  }

  PageFilter filter_;
  std::unordered_set<std::uint64_t> pages_;
};

}  // namespace vireo::engine
