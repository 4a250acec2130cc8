#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/translator/code_memory.h"

namespace vireo::engine::translator {

/// 32 bits of finished code that are others where the code is copied to: to another place, in the
/// code memory of another vCPU.
struct Relocation {
  enum class Of : std::uint8_t {
    kGlue,       ///< a distance to the glue, which stands at the same place in every code memory
    kOtherPart,  ///< a distance to code of the same translation in the other part of the memory
    kSite,       ///< a number in CodeTables
    kExit,       ///< the same
    kHome,       ///< the place of the home of the translation's page, from GS
  };
  std::uint32_t place = 0;  ///< from the start of the code memory
  Of of = Of::kGlue;
};

/// What the emitter notes of one translation for who wants to copy it.
struct Recording {
  const std::uint8_t* start = nullptr;          ///< of the code memory, where it is written
  std::span<const std::uint8_t> often, seldom;  ///< all of the code, where it is written
  std::uint32_t first_site = 0, first_exit = 0;
  std::vector<Relocation> relocations;

  void note(const std::uint8_t* place, Relocation::Of of) {
    relocations.push_back({static_cast<std::uint32_t>(place - start), of});
  }
  /// A distance between two places.
  void note_distance(const std::uint8_t* place, const std::uint8_t* target) {
    const std::uint8_t* border = start + CodeMemory::kPartSize;
    if ((place < border) != (target < border)) note(place, Relocation::Of::kOtherPart);
  }
};

}  // namespace vireo::engine::translator
