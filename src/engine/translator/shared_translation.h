#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/translator/code_memory.h"
#include "engine/translator/emitter.h"
#include "engine/translator/recording.h"
#include "engine/translator/translation.h"

namespace vireo::engine::translator {

/// What a translation is of, but for the bytes.
struct TranslationKey {
  PhysAddr start{};
  std::optional<PhysAddr> second_page;  ///< where its only instruction ends
  Mode mode;
  bool relative = false;
  std::uint64_t tag = 0;

  bool operator==(const TranslationKey&) const = default;
};

/// What code is made from, besides the mode and the address.
struct CodeSource {
  std::uint16_t first = 0;          ///< offset in the page of the first byte that was looked at
  std::vector<std::uint8_t> bytes;  ///< all up to the last; behind the page those of the second
  std::vector<std::uint16_t> alone,
      salted;  ///< of TranslationCache::Page, as far as they are there
};

/// A translation as one vCPU made it, before anything was linked, to be copied by others.
struct SharedTranslation {
  TranslationKey key;
  CodeSource source;
  /// Numbers and addresses in these are the maker's, whose memory may be gone.
  Translation translation;
  std::vector<SiteFacts> sites;
  std::vector<Exit> exits;
  Recording recording;
  const std::uint8_t* executable = nullptr;  ///< the start of the maker's code memory
  std::vector<std::uint8_t> often, seldom;   ///< the code

  std::size_t bytes() const;
};

/// Of code that has just been emitted.
SharedTranslation capture(const Translation& translation, const Recording& recording,
                          const CodeTables& tables, const CodeMemory& memory);

/// The same code at the end of the memory, as if it had been emitted there for a page whose home
/// has that number. Fills in all of `to` but what it has in lists.
void copy(const SharedTranslation& from, std::uint32_t home, CodeMemory& memory, CodeTables& tables,
          Translation& to);

}  // namespace vireo::engine::translator
