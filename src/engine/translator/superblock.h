#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/translator/step.h"
#include "engine/translator/translation.h"
#include "memory/guest_memory.h"
#include "x86/decode/decode_cache.h"

namespace vireo::engine::translator {

/// Guest instructions of one page in the order in which they probably run: through branches that
/// are not taken and jumps whose target is near, a short loop several times, with what is known
/// about flags and stack.
struct Superblock {
  static constexpr std::size_t kMaxSteps = 48;
  static constexpr std::size_t kMaxRounds = 8;  ///< of a loop
  /// Of a short loop with accesses that share looks: the more rounds, the fewer looks.
  static constexpr std::size_t kMaxLoopSteps = 112, kShortLoop = 24;
  static constexpr std::int32_t kMaxStackSpan = 1024;
  static constexpr std::uint8_t kMaxLooks = 16;  ///< shared ones

  std::vector<Step> steps;
  std::uint16_t first = 0, last = 0;  ///< page offsets of all bytes in use, inclusive
  /// The same of all that were looked at: flags may be asked for behind its end.
  std::uint16_t seen_first = 0, seen_last = 0;
  bool falls_through = false;      ///< control reaches `next` behind the last step
  std::uint16_t next = 0;          ///< page offset; kPageSize and more: the next page
  bool next_on_two_pages = false;  ///< the instruction there leaves the page
  bool flags_live_at_entry = false;
  // The stack accesses of on_stack steps, from where RSP is at the start. Empty: low == high.
  std::int32_t stack_low = 0, stack_high = 0;
  bool salted = false;  ///< its accesses look into the TLB with salts

  /// Whether one of its instructions starts there.
  bool holds(std::uint16_t offset) const {
    return std::ranges::any_of(steps, [&](const Step& step) { return step.offset == offset; });
  }
};

/// Reads superblocks out of a copy of a guest page.
class SuperblockReader {
 public:
  /// `code` is the page, for read_across() with what follows it. `exact_flags`: somebody may ask
  /// for every flag after every instruction.
  SuperblockReader(std::span<const std::uint8_t> code, x86::DecodeCache& decoder, bool exact_flags)
      : page_(code.first<kPageSize>()), code_(code), decoder_(decoder), exact_flags_(exact_flags) {}

  /// No steps: the first instruction does not end in this page or is not valid. `page_address` is
  /// the linear address of the page; 64-bit code does not depend on it.
  /// The result takes over the memory of `into`.
  Superblock read(std::uint16_t offset, const Mode& mode, std::uint64_t page_address = 0,
                  Superblock into = {});
  /// One instruction, which begins in the page and ends behind it; no step: there is none.
  Superblock read_across(std::uint16_t offset, const Mode& mode, std::uint64_t page_address = 0);

 private:
  x86::DecodeStatus look(std::span<const std::uint8_t> code, std::uint16_t offset, x86::Insn& insn);
  bool decode(std::uint16_t offset, x86::Insn& insn);
  bool leaves_page(std::int64_t offset);
  void note_pages(Superblock& block);
  std::size_t round_again(const Superblock& block, const Step& step);
  bool within_code(const Step& step) const;
  void fit_to_segments(Step& step) const;
  void collect(Superblock& block, std::uint16_t offset, const Mode& mode);
  void find_live_flags(Superblock& block);
  std::uint16_t live_at(std::uint64_t offset);
  std::uint16_t live_at_target(const Step& step);

  std::span<const std::uint8_t, kPageSize> page_;
  std::span<const std::uint8_t> code_;
  x86::DecodeCache& decoder_;
  const bool exact_flags_;
  Narrow narrow_;                   ///< of the code that is being read
  std::uint64_t page_address_ = 0;  ///< linear
  std::uint16_t seen_first_ = kPageSize, seen_last_ = 0;
  std::vector<std::pair<std::uint64_t, std::uint16_t>> known_live_;
};

/// The page offset that a direct branch leads to, counted from the start of the page: outside
/// 0..kPageSize-1 it is another page.
inline std::int64_t branch_target(const Step& step) {
  return step.offset + step.insn.length + static_cast<std::int64_t>(step.insn.immediate);
}
/// The same for where it leaves the superblock to.
inline std::int64_t exit_target(const Step& step) {
  return step.taken_inside ? step.offset + step.insn.length : branch_target(step);
}
inline bool is_direct(const Step& step) {
  return step.insn.operands[0].kind == x86::OperandKind::kRelative;
}
inline bool in_page(std::int64_t offset) {
  return offset >= 0 && offset < static_cast<std::int64_t>(kPageSize);
}

}  // namespace vireo::engine::translator
