#include "x86/decode/decode_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vireo::x86 {

/// From the first bytes, or all if there are fewer: those behind the instruction are the same
/// whenever it is the same place.
std::size_t DecodeCache::slot(std::span<const std::uint8_t> bytes) {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio: spreads
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof(word)));
  return static_cast<std::size_t>((word * kGolden) >> (64 - std::countr_zero(kEntries)));
}

DecodeStatus DecodeCache::decode(std::span<const std::uint8_t> bytes, CodeSize code_size,
                                 Insn& insn) {
  Insn& known = entries_[slot(bytes)];
  const bool found = known.length != 0 && known.length <= bytes.size() &&
                     known.code_size == code_size &&
                     std::memcmp(known.bytes.data(), bytes.data(), known.length) == 0;
  if (found) {
    insn = known;
    return DecodeStatus::kOk;
  }
  const DecodeStatus status = x86::decode(bytes, code_size, features_, insn);
  if (status == DecodeStatus::kOk) known = insn;
  return status;
}

}  // namespace vireo::x86
