#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "x86/decode/decoder.h"

namespace vireo::x86 {

/// decode() with a memory. Code is decoded again and again: to be interpreted, to be translated, as
/// part of every superblock that runs through it, in every address space. What the answer depends
/// on is in the bytes, so nothing ever becomes stale. Of instructions that differ in a number only
/// one is decoded: see insn_form.h. For one thread.
class DecodeCache {
 public:
  /// The features must live as long.
  explicit DecodeCache(const FeatureSet& features)
      : features_(features),
        entries_(std::make_unique<Insn[]>(kEntries)),
        forms_(std::make_unique<Insn[]>(kForms)) {}

  DecodeStatus decode(std::span<const std::uint8_t> bytes, CodeSize code_size, Insn& insn);

 private:
  static constexpr std::size_t kEntries = 8192;
  static constexpr std::size_t kForms = 1024;
  /// Forms that begin with more bytes are not kept.
  static constexpr std::size_t kLongestForm = 5;
  static std::size_t slot(std::uint64_t first_word);
  static std::uint64_t form_key(std::uint64_t first_word, std::size_t length, CodeSize code_size);
  static std::size_t form_slot(std::uint64_t key);
  const Insn* find_form(std::uint64_t first_word, CodeSize code_size) const;
  void keep_form(const Insn& insn, std::uint64_t first_word);

  const FeatureSet& features_;
  std::unique_ptr<Insn[]> entries_;                ///< those of length 0 are empty
  std::array<std::uint64_t, kForms> form_keys_{};  ///< 0: empty
  std::unique_ptr<Insn[]> forms_;                  ///< one instruction of each
};

}  // namespace vireo::x86
