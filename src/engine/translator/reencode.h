#pragma once
#include <cstddef>
#include <cstdint>

#include "x86/decode/insn.h"

namespace vireo::engine::translator {

/// A memory operand in host code: [base + (index << scale_shift) + displacement], 64-bit address
/// size, with GS if asked.
struct HostMemory {
  static constexpr std::uint8_t kNone = 0xff;
  /// Host registers 0-15; RSP is no index. Without base and index: [disp32], sign-extended.
  std::uint8_t base = kNone, index = kNone, scale_shift = 0;
  std::int32_t displacement = 0;
  bool gs = false;
};

/// Where the operands of a copied instruction are to be found in the copy. A register may be placed
/// only where the instruction has a general register.
struct Placement {
  static constexpr std::uint8_t kSame = 0xff;
  std::uint8_t reg = kSame;  ///< host register in place of the GPR in ModRM.reg
  /// ... in ModRM.rm (register form), or in the opcode's low three bits (PUSH/POP r, MOV r,imm,
  /// BSWAP, XCHG rAX,r)
  std::uint8_t rm = kSame;
  std::uint8_t vvvv = kSame;  ///< ... in VEX.vvvv
  /// ModRM.rm becomes `memory`: replaces the memory operand, or turns the form with a general
  /// register into the memory form, which has the width of the operand: a 4-byte write leaves the
  /// upper half alone.
  bool to_memory = false;
  HostMemory memory;
};

/// No copy is longer; the longest that is an instruction has 15 bytes.
inline constexpr std::size_t kMaxEncoding = 20;

/// The instruction, decoded from 64-bit code, with its operands elsewhere, in `out` (at least
/// kMaxEncoding bytes). Returns its length, or 0 if it cannot be encoded so:
/// - AH..BH beside what needs REX; RSP as an index; more than 15 bytes;
/// - a RIP-relative operand that is not replaced;
/// - a vector index (VSIB) or an address without ModRM (moffs, string operands) that is replaced;
/// - a register form without a memory form that does the same (BT r,r; RDRAND; MOV r32,sreg; ...);
/// - XCHG rAX,r that would become a NOP.
/// A byte register 4-7 that is placed means SPL..DIL. Segment overrides and address-size prefixes
/// are dropped when memory is placed; LOCK, F2, F3 and 66 stay, without repetitions; REX and VEX
/// are made anew. A displacement that fits is encoded short. Immediates stay.
[[nodiscard]] std::size_t reencode(const x86::Insn& insn, const Placement& placement,
                                   std::uint8_t* out);

}  // namespace vireo::engine::translator
