#pragma once
#include <Zydis/Mnemonic.h>

#include <array>
#include <cstdint>

#include "x86/segment.h"

namespace vireo::x86 {

/// What an instruction is, under Zydis' name for it.
using Mnemonic = ZydisMnemonic;

/// How code is decoded. SDM vol. 1, 3.6.
enum class CodeSize : std::uint8_t { k16, k32, k64 };

enum class OperandKind : std::uint8_t {
  kNone,
  kGpr,         ///< number 0-15; width 1, 2, 4 or 8
  kGprHigh,     ///< AH, CH, DH, BH: number 0-3
  kSegment,     ///< a SegmentIndex
  kControl,     ///< CR0-CR15
  kDebug,       ///< DR0-DR15
  kX87,         ///< ST(number)
  kMmx,         ///< MM0-MM7
  kXmm,         ///< XMM0-XMM15
  kYmm,         ///< YMM0-YMM15
  kMemory,      ///< Insn::memory
  kImmediate,   ///< Insn::immediate, sign- or zero-extended as the instruction asks
  kImmediate2,  ///< Insn::immediate2: ENTER's level
  kRelative,    ///< branch displacement in Insn::immediate, from the next instruction
  kFar,         ///< ptr16:16 or ptr16:32: offset in Insn::immediate, selector in Insn::immediate2
};

/// Which field of the encoding names an operand.
enum class OperandPlace : std::uint8_t {
  kImplicit,  ///< none: the opcode implies it
  kReg,       ///< ModRM.reg
  kRm,        ///< ModRM.rm, as a register
  kOpcode,    ///< the low three bits of the opcode
  kVvvv,      ///< VEX.vvvv
  kOther,     ///< the top of an immediate byte
};

struct Operand {
  OperandKind kind = OperandKind::kNone;
  std::uint8_t number = 0;
  std::uint16_t width = 0;  ///< in bytes; 0 where it has no meaning (LEA's memory, INVLPG)
  OperandPlace place = OperandPlace::kImplicit;  ///< of a register
};

inline constexpr std::uint8_t kNoRegister = 0xff;
inline constexpr std::uint8_t kRipBase = 0x10;

/// segment:[base + index * scale + displacement], computed in `address_width` bytes.
struct MemoryOperand {
  SegmentIndex segment = kDs;
  std::uint8_t base = kNoRegister;   ///< GPR number, kRipBase or kNoRegister
  std::uint8_t index = kNoRegister;  ///< GPR number or kNoRegister; always a GPR: VSIB is not here
  std::uint8_t scale_shift = 0;
  std::int64_t displacement = 0;
  bool vsib = false;  ///< `index` is a vector register (gathers)
};

/// What an instruction does to the general registers and the arithmetic flags; masks. What the
/// operating system does after a fault or a transfer to it is not here.
struct Effects {
  /// Bit n: GPR n, implicit operands and address registers included. A register that is written in
  /// part (8 or 16 bits) or conditionally counts as read too.
  std::uint16_t gpr_read = 0;
  /// May be written, in whole or in part, implicit ones included (RSP of PUSH, RCX of REP).
  std::uint16_t gpr_written = 0;
  std::uint16_t flags_read = 0;     ///< bits of rflags::kArithmetic; POPF and INT n read them all
  std::uint16_t flags_written = 0;  ///< may change or become undefined
  /// Surely overwritten, or undefined and never what they were before, whatever the operands: a
  /// subset of `flags_written`. Nothing where the count of a shift is not known to be other than 0.
  std::uint16_t flags_killed = 0;
  bool operator==(const Effects&) const = default;
};

/// Where the parts of the encoding stand in Insn::bytes; 0: not there.
struct Layout {
  std::uint8_t opcode = 0;  ///< offset of the last opcode byte; 0 where that is the first byte
  std::uint8_t modrm = 0, sib = 0, displacement = 0, immediate = 0;
  std::uint8_t displacement_size = 0;  ///< in bytes
  std::uint8_t immediate_size = 0;     ///< of all immediates together, in bytes
  bool immediate_signed = false;       ///< the first one is extended by its sign
  std::uint8_t vex = 0;                ///< offset of C4 or C5, plus 1
  std::uint8_t rex = 0;                ///< offset of REX, plus 1
};

/// One decoded instruction, independent of where it stands. SDM vol. 2A, chapter 2.
/// `operands` holds the explicit ones in Intel order.
struct Insn {
  Mnemonic mnemonic = ZYDIS_MNEMONIC_INVALID;
  CodeSize code_size = CodeSize::k64;
  std::uint8_t length = 0;
  std::uint8_t operand_width =
      0;  ///< effective operand size in bytes: 2, 4 or 8 (1 for byte forms)
  std::uint8_t address_width = 0;  ///< effective address size in bytes
  std::uint8_t operand_count = 0;
  std::uint8_t opcode = 0;         ///< last opcode byte
  std::uint8_t opcode_map = 0;     ///< 0 one-byte, 1 0f, 2 0f38, 3 0f3a
  std::uint8_t vector_length = 0;  ///< for VEX: 16 or 32 bytes
  bool lock = false;
  bool rep = false;    ///< F3 present and meaningful as a repeat prefix
  bool repne = false;  ///< F2 present and meaningful as a repeat prefix
  bool vex = false;
  bool far = false;  ///< far CALL, JMP or RET
  std::array<Operand, 4> operands{};
  MemoryOperand memory;
  std::uint64_t immediate = 0;
  std::uint64_t immediate2 = 0;
  std::array<std::uint8_t, 15> bytes{};
  Effects effects;
  Layout layout;
};

}  // namespace vireo::x86
