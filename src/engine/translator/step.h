#pragma once
#include <cstdint>

#include "x86/decode/insn.h"

namespace vireo::engine::translator {

/// How an instruction is translated.
enum class Kind : std::uint8_t {
  kCopy,     ///< as it is, with its memory operand and some registers elsewhere
  kVector,   ///< the same, once the vector registers are loaded
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
  std::uint16_t offset = 0;  ///< in the page
  Kind kind = Kind::kInterpret;
  bool has_memory = false;
  bool memory_written = false;
  std::uint16_t memory_size = 0;  ///< bytes accessed
  std::uint16_t alignment = 1;    ///< demanded of the memory operand
  // Arithmetic flags, masks:
  std::uint16_t flags_used = 0;  ///< must be the guest's when the instruction itself executes
  std::uint16_t flags_live = 0;  ///< somebody may ask for them after the instruction
  // Stack, in 64-bit fast mode: where RSP stands before it, from where it stood at the start.
  std::int32_t stack_offset = 0;
  bool on_stack = false;  ///< its stack access is within the span that the head has checked

  bool defines_flags() const { return insn.effects.flags_written != 0; }
};

/// Chooses kind, has_memory, memory_*, alignment. `sse` and `avx`: such code may run as it is.
void classify(Step& step, bool sse, bool avx);

/// The part of it for system instructions. False: it is none that has code of its own.
bool classify_system(Step& step);

/// Control never reaches what stands behind it.
bool ends_block(const Step& step);

}  // namespace vireo::engine::translator
