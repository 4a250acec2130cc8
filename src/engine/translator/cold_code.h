#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

namespace vireo::engine::translator {

/// Code that is written behind the rest: closures, run in the order in which they were added, which
/// may be while others run. They are kept without memory of their own.
class ColdCode {
 public:
  template <class Closure>
  void add(const Closure& closure) {
    static_assert(std::is_trivially_copyable_v<Closure> && sizeof(Closure) <= kRoom);
    Entry& entry = entries_.emplace_back();
    std::memcpy(entry.closure, &closure, sizeof(closure));
    entry.run = [](const std::byte* bytes) {
      alignas(Closure) std::byte place[sizeof(Closure)];
      std::memcpy(place, bytes, sizeof(place));
      // SAFETY: it is a copy of the closure that add() was given, and may be copied as bytes.
      (*std::launder(reinterpret_cast<const Closure*>(place)))();
    };
  }

  /// Runs all and forgets them.
  void write() {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const Entry entry = entries_[i];
      entry.run(entry.closure);
    }
    entries_.clear();
  }

 private:
  static constexpr std::size_t kRoom = 96;
  struct Entry {
    void (*run)(const std::byte* closure);
    std::byte closure[kRoom];
  };
  std::vector<Entry> entries_;
};

}  // namespace vireo::engine::translator
