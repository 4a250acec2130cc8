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

struct Operand {
  OperandKind kind = OperandKind::kNone;
  std::uint8_t number = 0;
  std::uint16_t width = 0;  ///< in bytes; 0 where it has no meaning (LEA's memory, INVLPG)
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
};

}  // namespace vireo::x86
