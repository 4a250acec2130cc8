#include "x86/decode/decode_cache.h"

#include <bit>
#include <cstring>

namespace vireo::x86 {

namespace {

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
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio: spreads
  return static_cast<std::size_t>((first_word * kGolden) >> (64 - std::countr_zero(kEntries)));
}

DecodeStatus DecodeCache::decode(std::span<const std::uint8_t> bytes, CodeSize code_size,
                                 Insn& insn) {
  const std::uint64_t word = first_word(bytes);
  Insn& known = entries_[slot(word)];
  if (!is_same(known, bytes, word) || known.code_size != code_size) {
    const DecodeStatus status = x86::decode(bytes, code_size, features_, known);
    if (status != DecodeStatus::kOk) {
      known.length = 0;
      return status;
    }
  }
  insn = known;
  return DecodeStatus::kOk;
}

}  // namespace vireo::x86
