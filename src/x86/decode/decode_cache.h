#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "x86/decode/decoder.h"

namespace vireo::x86 {

/// decode() with a memory. Code is decoded again and again: to be interpreted, to be translated, as
/// part of every superblock that runs through it, in every address space. What the answer depends
/// on is in the bytes, so nothing ever becomes stale. For one thread.
class DecodeCache {
 public:
  /// The features must live as long.
  explicit DecodeCache(const FeatureSet& features)
      : features_(features), entries_(std::make_unique<Insn[]>(kEntries)) {}

  DecodeStatus decode(std::span<const std::uint8_t> bytes, CodeSize code_size, Insn& insn);

 private:
  static constexpr std::size_t kEntries = 8192;
  static std::size_t slot(std::uint64_t first_word);

  const FeatureSet& features_;
  std::unique_ptr<Insn[]> entries_;  ///< those of length 0 are empty
};

}  // namespace vireo::x86
