#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/address.h"

namespace vireo::engine {

/// Pages of guest-physical memory that a vCPU may be concerned with, for other threads to ask, so
/// that they leave alone those that are not. Errs on one side: pages 1 GiB apart count as one, and
/// a page stays until all are forgotten.
///
/// Whoever changes a page makes the change visible, passes a sequentially consistent fence and then
/// asks here; the owner announces a page and then looks at it. So the former sees the announcement
/// or the latter sees the change.
class AnnouncedPages {
 public:
  /// By the owner, before it looks at what it is going to rely on.
  [[gnu::always_inline]] void announce(PhysAddr page) {
    std::atomic<std::uint64_t>& word = words_[place(page) / 64];
    const std::uint64_t bit = 1ull << (place(page) % 64);
    if ((word.load(std::memory_order_relaxed) & bit) != 0) return;
    word.fetch_or(bit, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  /// By any thread.
  bool announced(PhysAddr page) const {
    const std::uint64_t word = words_[place(page) / 64].load(std::memory_order_acquire);
    return ((word >> (place(page) % 64)) & 1) != 0;
  }
  /// By the owner, when it relies on none of them any more.
  void forget_all() {
    for (auto& word : words_) word.store(0, std::memory_order_release);
  }

 private:
  static constexpr std::size_t kPages = std::size_t{1} << (30 - kPageShift);
  static std::size_t place(PhysAddr page) { return (value(page) >> kPageShift) % kPages; }

  std::array<std::atomic<std::uint64_t>, kPages / 64> words_{};
};

}  // namespace vireo::engine
