#pragma once
#include "engine/interpreter/op.h"
#include "x86/cpu_port.h"
#include "x86/decode/insn.h"
#include "x86/semantics/handler.h"

namespace vireo::engine::interpreter {

/// Which kinds of operands an instruction has, for the handlers that are made per kind.
enum class Form : std::uint8_t {
  kNone,
  kRegReg,
  kRegImm,
  kRegMem,
  kMemReg,
  kMemImm,
  kRegRegImm,
  kReg,
  kMem,
  kImm,
  kRelative,
};

/// What a handler is chosen by.
struct Shape {
  x86::Mnemonic mnemonic;
  Form form;
  std::uint8_t width;          ///< of the first operand, in bytes
  std::uint8_t source_width;   ///< of the second
  std::uint8_t operand_width;  ///< of the instruction
  Ea ea;
  bool code64;
};

// The handler for a shape, or null if this family has none for it; then the instruction is executed
// by its x86::Handler.
OpHandler alu_handler(const Shape& shape);
OpHandler move_handler(const Shape& shape);
OpHandler shift_handler(const Shape& shape);
OpHandler multiply_handler(const Shape& shape);
OpHandler bit_handler(const Shape& shape);
OpHandler branch_handler(const Shape& shape);
OpHandler stack_handler(const Shape& shape);
OpHandler vector_move_handler(const x86::Insn& insn, const Shape& shape);

/// 0-15 if the mnemonic is a Jcc.
inline constexpr unsigned kNoCondition = 16;
unsigned jump_condition(x86::Mnemonic mnemonic);

/// Calls the x86::Handler in Op::immediate, and leaves the block if it did anything that the rest
/// of the block does not expect.
void op_call_handler(const Op* op, Cpu* cpu);
/// Runs the HostStub in Op::immediate.
void op_host_stub(const Op* op, Cpu* cpu);
/// Raises #UD, or the fault that decoding ended with: vector in Op::immediate.
void op_raise(const Op* op, Cpu* cpu);
void op_nop(const Op* op, Cpu* cpu);
/// The first operation of every block: counts its instructions and looks for events.
void op_enter(const Op* op, Cpu* cpu);
/// The end of a block that does not end in a branch.
void op_fall_through(const Op* op, Cpu* cpu);

/// The x86::Handler for an instruction; null if there is none.
x86::Handler find_handler(const x86::Insn& insn);

/// Picks `Template<O, T>`-like things by operand width: `pick.operator()<T>()`.
template <class Pick>
OpHandler by_width(unsigned width, Pick pick) {
  switch (width) {
    case 1:
      return pick.template operator()<std::uint8_t>();
    case 2:
      return pick.template operator()<std::uint16_t>();
    case 4:
      return pick.template operator()<std::uint32_t>();
    case 8:
      return pick.template operator()<std::uint64_t>();
    default:
      return nullptr;
  }
}

/// Picks by the kind of address: `pick.operator()<kEa>()`.
template <class Pick>
OpHandler by_ea(Ea ea, Pick pick) {
  switch (ea) {
    case Ea::kBase:
      return pick.template operator()<Ea::kBase>();
    case Ea::kIndexed:
      return pick.template operator()<Ea::kIndexed>();
    default:
      return pick.template operator()<Ea::kGeneral>();
  }
}

}  // namespace vireo::engine::interpreter
