#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "engine/software/cpu.h"
#include "memory/guest_memory.h"

namespace vireo::engine {

/// What the translation caches knew of address spaces that are not the current one, by PCID, so
/// that a guest which goes to and fro between two finds its pages again. A cache of a few spaces
/// and some pages of each. SDM vol. 3A, 4.10.1.
class AddressSpaces {
 public:
  using Tlbs = decltype(Cpu::tlbs);

  /// Takes the entries that are not global out of the caches.
  void put_aside(std::uint16_t pcid, Tlbs& tlbs);
  /// Enters again what was put aside, with the permissions that pages of `memory` have now.
  void bring_back(std::uint16_t pcid, Tlbs& tlbs, memory::GuestMemory& memory);
  void forget(std::uint16_t pcid);
  void forget_all();

 private:
  static constexpr std::size_t kSpaces = 8, kMaxEntries = 1024;
  struct Entry {
    std::uint32_t tlb, place;
    TlbEntry entry;
  };
  struct Space {
    std::uint16_t pcid = 0;
    std::vector<Entry> entries;  ///< empty: the space is free
  };
  Space* find(std::uint16_t pcid);

  std::array<Space, kSpaces> spaces_;
  std::size_t next_ = 0;     ///< that gives way when none is free
  std::uint64_t moves_ = 0;  ///< of the memory, when all that is put aside was still true
};

}  // namespace vireo::engine
