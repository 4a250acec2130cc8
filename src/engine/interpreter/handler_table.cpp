#include <array>

#include "engine/interpreter/handlers.h"
#include "engine/software/host_stub.h"
#include "x86/delivery/descriptor_query.h"
#include "x86/delivery/far_transfer.h"
#include "x86/delivery/iret.h"
#include "x86/delivery/syscall.h"
#include "x86/delivery/table_registers.h"
#include "x86/semantics/control.h"
#include "x86/semantics/flags_transfer.h"
#include "x86/semantics/integer.h"
#include "x86/semantics/segment.h"

namespace vireo::engine::interpreter {
namespace {

constexpr std::size_t kMnemonics = ZYDIS_MNEMONIC_MAX_VALUE + 1;
using Table = std::array<x86::Handler, kMnemonics>;

void enter(Table& table, std::span<const x86::HandlerRow> rows) {
  for (const auto& row : rows) table[row.mnemonic] = row.handler;
}

/// By mnemonic alone: the instructions that share one with others are told apart below.
const Table& by_mnemonic() {
  static const Table table = [] {
    Table result{};
    enter(result, host_stub_rows());
    enter(result, x86::integer_handlers());
    enter(result, x86::bit_handlers());
    enter(result, x86::decimal_handlers());
    enter(result, x86::stack_handlers());
    enter(result, x86::branch_handlers());
    enter(result, x86::string_handlers());
    enter(result, x86::miscellaneous_handlers());
    enter(result, x86::control_handlers());
    enter(result, x86::far_pointer_handlers());
    enter(result, x86::descriptor_query_handlers());
    enter(result, x86::table_register_handlers());
    enter(result, x86::flags_transfer_handlers());
    enter(result, x86::iret_handlers());
    enter(result, x86::syscall_handlers());
    return result;
  }();
  return table;
}

const Table& of_segments() {
  static const Table table = [] {
    Table result{};
    enter(result, x86::segment_move_handlers());
    return result;
  }();
  return table;
}

const Table& of_far_transfers() {
  static const Table table = [] {
    Table result{};
    enter(result, x86::far_transfer_handlers());
    return result;
  }();
  return table;
}

bool has_operand(const x86::Insn& insn, x86::OperandKind kind) {
  for (unsigned i = 0; i < insn.operand_count; ++i)
    if (insn.operands[i].kind == kind) return true;
  return false;
}

}  // namespace

x86::Handler find_handler(const x86::Insn& insn) {
  using enum x86::OperandKind;
  if (insn.mnemonic == ZYDIS_MNEMONIC_MOV && has_operand(insn, kControl))
    return x86::move_control_register;
  if (insn.mnemonic == ZYDIS_MNEMONIC_MOV && has_operand(insn, kDebug))
    return x86::move_debug_register;
  if (has_operand(insn, kSegment)) return of_segments()[insn.mnemonic];
  if (insn.far) {
    if (const auto handler = of_far_transfers()[insn.mnemonic]) return handler;
  }
  // SSE2 has a MOVSD and a CMPSD of its own.
  const bool shared =
      insn.mnemonic == ZYDIS_MNEMONIC_MOVSD || insn.mnemonic == ZYDIS_MNEMONIC_CMPSD;
  if (shared && insn.opcode_map != 0) return nullptr;
  return by_mnemonic()[insn.mnemonic];
}

}  // namespace vireo::engine::interpreter
