#pragma once
#include <cstdint>
#include <span>

#include "memory/guest_memory.h"

namespace vireo::devices {

/// Where a bus master is in a table of physical regions. Programming Interface for Bus Master IDE
/// Controller, revision 1.0, 1.2: entries of an address, a count of bytes (0: 64 KiB) and a bit at
/// the last one. The table is the guest's: it may be anything, and is read entry by entry.
struct PrdCursor {
  std::uint32_t entry = 0;    ///< physical address of the next entry
  std::uint32_t address = 0;  ///< of the next byte of the current region
  std::uint32_t left = 0;     ///< bytes of it
  std::uint8_t last = 0;      ///< it is the last

  bool operator==(const PrdCursor&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [entry, address, left, last] = self;
    visit("entry", entry), visit("address", address), visit("left", left), visit("last", last);
  }

  bool at_end() const { return last != 0 && left == 0; }

  struct Moved {
    std::uint32_t bytes = 0;
    bool failed = false;  ///< the table or a region is not in memory
  };
  /// As many bytes as the regions have room for.
  Moved to_guest(memory::GuestMemory& memory, std::span<const std::byte> data);
  Moved from_guest(const memory::GuestMemory& memory, std::span<std::byte> data);

 private:
  template <class Copy>
  Moved move(const memory::GuestMemory& memory, std::size_t size, Copy copy);
};

}  // namespace vireo::devices
