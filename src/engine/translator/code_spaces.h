#pragma once
#include <array>
#include <cstdint>

#include "engine/translator/translation_cache.h"

namespace vireo::engine::translator {

/// What branches find in address spaces that are not the current one, by PCID: see AddressSpaces.
/// Also numbers that tell whether what is known of a page of code is known of this address space.
class CodeSpaces {
 public:
  /// Of the current address space since what was known of it ended.
  std::uint64_t current() const { return current_; }

  /// From one to another; `modes` are those that branches are for, of supervisor and user.
  void change(TranslationCache& cache, std::uint16_t from, std::uint16_t to, bool keep,
              const std::array<Mode, 2>& modes);
  /// What is known of the current one has ended.
  void renew() { current_ = ++last_; }
  void forget(std::uint16_t pcid);
  void forget_all();

 private:
  static constexpr std::size_t kSpaces = 8;
  struct Space {
    std::uint16_t pcid = 0;
    std::uint64_t number = 0;      ///< 0: the space is free
    std::uint64_t generation = 0;  ///< TranslationCache::generation() when it was left
    BranchTable::Space known;
  };
  Space* find(std::uint16_t pcid);

  std::array<Space, kSpaces> spaces_;
  std::size_t next_ = 0;  ///< that gives way when none is free
  std::uint64_t current_ = 1, last_ = 1;
};

}  // namespace vireo::engine::translator
