#pragma once
#include <xbyak/xbyak.h>

#include <span>
#include <string_view>

#include "engine/translator/narrow.h"

namespace vireo::test {

/// Guest code whose translation is looked at.
struct GoldenCase {
  std::string_view name;
  /// Writes the code, in bytes where it is not 64-bit. A jump is put behind it to code that
  /// overwrites all flags.
  void (*write)(Xbyak::CodeGenerator& guest);
  bool relative = false;    ///< runs where RIP does not fit in 32 bits
  bool supervisor = false;  ///< at level 0
  bool careful = false;     ///< without a stack window
  bool exact_flags = false;
  const engine::translator::Narrow* narrow = nullptr;  ///< not 64-bit code
  bool whole = false;                                  ///< the head of the translation too
};

/// Cases that are kept in one file.
struct GoldenFile {
  std::string_view name;
  std::span<const GoldenCase> cases;
};

std::span<const GoldenFile> golden_files();
std::span<const GoldenFile> golden_files_of_narrow_code();

}  // namespace vireo::test
