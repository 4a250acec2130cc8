#include "engine/translator/displaced.h"
#include "engine/translator/step.h"
#include "x86/cpu_state.h"

namespace vireo::engine::translator {
namespace {

using x86::Insn;
using x86::OperandKind;

bool is_gpr_other_than_rsp(const x86::Operand& operand) {
  return operand.kind == OperandKind::kGpr && operand.number != x86::kRsp;
}

/// MOV to a general register from a segment register, or from CR0, CR2, CR3 or CR4.
bool reads_system_register(const Insn& insn) {
  const auto &to = insn.operands[0], &from = insn.operands[1];
  if (!is_gpr_other_than_rsp(to)) return false;
  if (from.kind == OperandKind::kSegment) return true;
  return from.kind == OperandKind::kControl &&
         (from.number == 0 || (from.number >= 2 && from.number <= 4));
}

/// The operand's bit is anywhere in memory.
bool is_bit_string(const Insn& insn) {
  const auto &memory = insn.operands[0], &bit = insn.operands[1];
  return memory.kind == OperandKind::kMemory && bit.kind == OperandKind::kGpr &&
         insn.address_width == 8 && !insn.repne;
}

/// In 64-bit addresses, from a segment without a base.
bool is_plain_string(const Insn& insn) {
  return insn.address_width == 8 && !insn.repne && insn.memory.segment < x86::kFs;
}

void note_bit_string(Step& step) {
  const unsigned width = step.insn.operands[0].width;
  step.has_memory = true;
  step.memory_size = static_cast<std::uint16_t>(width);
  step.memory_written = step.insn.mnemonic != ZYDIS_MNEMONIC_BT;
  step.alignment = static_cast<std::uint16_t>(step.insn.lock ? width : 1);
}

/// Of code that is not 64-bit, what needs no stack. Whether segments let strings through is judged
/// elsewhere.
bool classify_narrow_system(Step& step) {
  const Insn& insn = step.insn;
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_CLD:
    case ZYDIS_MNEMONIC_STD:
    case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_STI:
    case ZYDIS_MNEMONIC_RDTSC:
      break;
    case ZYDIS_MNEMONIC_MOV:
      if (insn.operands[1].kind != OperandKind::kSegment || !reads_system_register(insn))
        return false;
      break;
    default:
      if (!is_fill_or_move(insn) || insn.address_width != 4 || insn.repne) return false;
      break;
  }
  step.kind = Kind::kSystem;
  return true;
}

}  // namespace

bool is_fill(const Insn& insn) {
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
      return true;
    default:
      return false;
  }
}

bool is_fill_or_move(const Insn& insn) {
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_MOVSD:
      return insn.opcode_map == 0;  // or of SSE2
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSQ:
      return true;
    default:
      return is_fill(insn);
  }
}

bool classify_system(Step& step) {
  const Insn& insn = step.insn;
  if (insn.code_size != x86::CodeSize::k64) return classify_narrow_system(step);
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_PUSHFQ:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_STI:
    case ZYDIS_MNEMONIC_CLD:
    case ZYDIS_MNEMONIC_STD:
    case ZYDIS_MNEMONIC_CLAC:
    case ZYDIS_MNEMONIC_STAC:
    case ZYDIS_MNEMONIC_SWAPGS:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_WRPKRU:
      break;
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
      if (!is_gpr_other_than_rsp(insn.operands[0])) return false;
      break;
    case ZYDIS_MNEMONIC_MOV:
      if (!reads_system_register(insn)) return false;
      break;
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
      if (!is_bit_string(insn)) return false;
      note_bit_string(step);
      break;
    default:
      if (!is_fill_or_move(insn) || !is_plain_string(insn)) return false;
      break;
  }
  step.kind = Kind::kSystem;
  return true;
}

}  // namespace vireo::engine::translator
