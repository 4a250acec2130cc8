#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "machine/memory_layout.h"

namespace vireo::machine {

/// What a boot loader may still use: the RAM of a memory map less what it has taken. Guest-physical
/// addresses.
class FreeMemory {
 public:
  explicit FreeMemory(std::span<const MemoryRange> map);

  /// Takes exactly this range. False, and nothing taken, if any of it is not free.
  [[nodiscard]] bool take(std::uint64_t base, std::uint64_t size);
  /// Takes the lowest or the highest place inside [from, to), aligned to a power of two.
  std::optional<std::uint64_t> take_lowest(std::uint64_t size, std::uint64_t alignment,
                                           std::uint64_t from, std::uint64_t to);
  std::optional<std::uint64_t> take_highest(std::uint64_t size, std::uint64_t alignment,
                                            std::uint64_t from, std::uint64_t to);

  /// One past the last RAM address below `limit`, taken or not; 0 if there is none.
  std::uint64_t ram_end(std::uint64_t limit) const;
  bool is_ram(std::uint64_t base, std::uint64_t size) const;

 private:
  struct Span {
    std::uint64_t begin, end;
  };
  std::vector<Span> ram_, free_;  // ascending
};

}  // namespace vireo::machine
