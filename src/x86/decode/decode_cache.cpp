#include "x86/decode/decode_cache.h"

#include <bit>
#include <cstring>

#include "x86/decode/insn_form.h"

namespace vireo::x86 {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio: spreads

/// The first bytes, as many as there are.
std::uint64_t first_word(std::span<const std::uint8_t> bytes) {
  std::uint64_t word = 0;
  if (bytes.size() >= sizeof(word))
    std::memcpy(&word, bytes.data(), sizeof(word));
  else
    std::memcpy(&word, bytes.data(), bytes.size());
  return word;
}

/// Most that are another differ in their first bytes.
bool is_same(const Insn& known, std::span<const std::uint8_t> bytes, std::uint64_t word) {
  constexpr std::size_t kWord = sizeof(word);
  const std::size_t length = known.length;
  if (length == 0 || length > bytes.size()) return false;
  const std::uint64_t mask = length >= kWord ? ~0ull : (1ull << 8 * length) - 1;
  if (((first_word(known.bytes) ^ word) & mask) != 0) return false;
  return length <= kWord ||
         std::memcmp(known.bytes.data() + kWord, bytes.data() + kWord, length - kWord) == 0;
}

}  // namespace

/// By the first bytes, or all if there are fewer: those behind the instruction are the same
/// whenever it is the same place.
std::size_t DecodeCache::slot(std::uint64_t first_word) {
  return static_cast<std::size_t>((first_word * kGolden) >> (64 - std::countr_zero(kEntries)));
}

/// The bytes that a form begins with, how many they are and how they are decoded.
std::uint64_t DecodeCache::form_key(std::uint64_t first_word, std::size_t length,
                                    CodeSize code_size) {
  static_assert(kLongestForm < 7);
  const std::uint64_t bytes = first_word & ((1ull << 8 * length) - 1);
  return bytes | std::uint64_t{length} << 56 | static_cast<std::uint64_t>(code_size) << 60;
}

std::size_t DecodeCache::form_slot(std::uint64_t key) {
  return static_cast<std::size_t>((key * kGolden) >> (64 - std::countr_zero(kForms)));
}

/// Null: none is known that code which begins so is of.
const Insn* DecodeCache::find_form(std::uint64_t first_word, CodeSize code_size) const {
  for (std::size_t length = 1; length <= kLongestForm; ++length) {
    const std::uint64_t key = form_key(first_word, length, code_size);
    if (form_keys_[form_slot(key)] == key) return &forms_[form_slot(key)];
  }
  return nullptr;
}

void DecodeCache::keep_form(const Insn& insn, std::uint64_t first_word) {
  const std::size_t length = form_length(insn);
  if (length == 0 || length > kLongestForm) return;
  const std::uint64_t key = form_key(first_word, length, insn.code_size);
  form_keys_[form_slot(key)] = key;
  forms_[form_slot(key)] = insn;
}

DecodeStatus DecodeCache::decode(std::span<const std::uint8_t> bytes, CodeSize code_size,
                                 Insn& insn) {
  const std::uint64_t word = first_word(bytes);
  const Insn* form = find_form(word, code_size);
  if (form != nullptr && form->length <= bytes.size()) {
    insn = *form;
    give_numbers(insn, bytes);
    return DecodeStatus::kOk;
  }
  Insn& known = entries_[slot(word)];
  if (!is_same(known, bytes, word) || known.code_size != code_size) {
    const DecodeStatus status = x86::decode(bytes, code_size, features_, known);
    if (status != DecodeStatus::kOk) {
      known.length = 0;
      return status;
    }
    keep_form(known, word);
  }
  insn = known;
  return DecodeStatus::kOk;
}

}  // namespace vireo::x86
