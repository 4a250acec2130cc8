#pragma once
#include <cstdint>
#include <memory>

#include "x86/decode/insn.h"

namespace vireo::engine::translator {

/// How an instruction is translated.
enum class Kind : std::uint8_t {
  kCopy,     ///< as it is, with its memory operand and some registers elsewhere
  kVector,   ///< the same, once the vector registers are loaded
  kX87,      ///< the same, once the x87 and MMX registers are loaded
  kNothing,  ///< no code at all
  kLea,
  kPush,
  kPop,
  kAdjustStack,  ///< ADD, SUB or LEA of a constant to RSP
  kLeave,
  kCall,
  kJump,
  kBranch,  ///< Jcc
  kDivide,  ///< DIV and IDIV of 32 and 64 bits
  kReturn,
  kSystem,     ///< by code of its own: see emitter_system.cpp
  kInterpret,  ///< by C++, one instruction
};

/// One instruction of a superblock.
struct Step {
  x86::Insn insn;
  /// Not 64-bit code that is copied: what is written instead of it. See long_form().
  std::shared_ptr<const x86::Insn> long_insn;
  std::uint16_t offset = 0;  ///< in the page
  Kind kind = Kind::kInterpret;
  bool has_memory = false;
  bool memory_written = false;
  std::uint16_t memory_size = 0;  ///< bytes accessed
  std::uint16_t alignment = 1;    ///< demanded of the memory operand
  bool with_vectors = false;      ///< kX87: the vector registers too
  bool notes_pointers = false;    ///< sets the x87's FIP and, with a memory operand, FDP
  // Arithmetic flags, masks:
  std::uint16_t flags_used = 0;  ///< must be the guest's when the instruction itself executes
  std::uint16_t flags_live = 0;  ///< somebody may ask for them after the instruction
  // Stack, in fast mode: where RSP stands before it, from where it stood at the start.
  std::int32_t stack_offset = 0;
  bool stack_known = false;   ///< that is so, and not far from there
  bool taken_inside = false;  ///< a branch that the superblock goes along when it is taken
  bool target_on_two_pages =
      false;              ///< a direct branch out, to an instruction that leaves the page
  bool on_stack = false;  ///< its stack access is within the span that the head has checked
  // A look into the TLB that is shared: see access_plan.h.
  static constexpr std::uint8_t kOwnLook = 0xff;
  std::uint8_t look = kOwnLook;              ///< where the way to the host's memory is remembered
  bool looks_for_others = false;             ///< and this one has to find it:
  bool look_written = false;                 ///< the span is asked for to be written
  std::int16_t look_low = 0, look_high = 0;  ///< bytes, from its own operand
  std::uint16_t look_alignment = 1;          ///< that the lowest byte of the span must have

  /// Where the immediate stands in guest memory: it is loaded, because it is written again and
  /// again. Null: it is a part of the code.
  const std::byte* live_immediate = nullptr;

  bool defines_flags() const { return insn.effects.flags_written != 0; }
  /// Decoded from 64-bit code, but for addresses and branches.
  const x86::Insn& encoding() const { return long_insn != nullptr ? *long_insn : insn; }
  /// How many bytes PUSH, POP, CALL and RET move.
  std::int32_t stack_width() const {
    return insn.code_size == x86::CodeSize::k64 ? 8 : insn.operand_width;
  }
};

/// Which instructions of the vector units may run as they are.
struct Units {
  bool sse = false, avx = false;
  bool x87 = false;  ///< MMX too
};

/// Chooses kind, has_memory, memory_*, alignment, with_vectors and notes_pointers.
void classify(Step& step, const Units& units);

/// The instruction is copied: kCopy, kVector or kX87.
constexpr bool is_copied(Kind kind) {
  return kind == Kind::kCopy || kind == Kind::kVector || kind == Kind::kX87;
}

/// STOS, repeated or not.
bool is_fill(const x86::Insn& insn);
/// MOVS or STOS, repeated or not.
bool is_fill_or_move(const x86::Insn& insn);

/// The part of it for system instructions. False: it is none that has code of its own.
bool classify_system(Step& step);

/// Control never reaches what stands behind it.
bool ends_block(const Step& step);

}  // namespace vireo::engine::translator
