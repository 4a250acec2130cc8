#include "x86/decode/insn_form.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace vireo::x86 {
namespace {

/// A number of 1, 2, 4 or 8 bytes.
std::uint64_t number(std::span<const std::uint8_t> bytes, bool is_signed) {
  std::uint64_t result = 0;
  std::memcpy(&result, bytes.data(), bytes.size());
  const auto unused = static_cast<unsigned>(64 - 8 * bytes.size());
  if (!is_signed) return result;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(result << unused) >> unused);
}

bool has(const Insn& insn, OperandKind kind) {
  return std::any_of(insn.operands.begin(), insn.operands.begin() + insn.operand_count,
                     [kind](const Operand& operand) { return operand.kind == kind; });
}

/// The immediate is a number that is computed with, or that RIP is moved by. Counts of shifts
/// decide about flags.
bool immediate_is_number(const Insn& insn) {
  const unsigned size = insn.layout.immediate_size;
  if (insn.vex || size > 8 || !std::has_single_bit(size)) return false;
  if (has(insn, OperandKind::kRelative)) return true;
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_ADC:
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_IMUL:
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_RET:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_XOR:
      return has(insn, OperandKind::kImmediate);
    default:
      return false;
  }
}

}  // namespace

std::size_t form_length(const Insn& insn) {
  const Layout& layout = insn.layout;
  if (layout.immediate_size != 0 && !immediate_is_number(insn)) return 0;
  // Without ModRM it is an address of up to eight bytes.
  if (layout.displacement_size != 0 && (layout.modrm == 0 || !has(insn, OperandKind::kMemory)))
    return 0;
  return layout.displacement_size != 0 ? layout.displacement : layout.immediate;
}

bool loads_constant(const Insn& insn) {
  const Operand &to = insn.operands[0], &from = insn.operands[1];
  return insn.mnemonic == ZYDIS_MNEMONIC_MOV && to.kind == OperandKind::kGpr && to.width >= 4 &&
         from.kind == OperandKind::kImmediate;
}

void give_numbers(Insn& insn, std::span<const std::uint8_t> bytes) {
  const Layout& layout = insn.layout;
  std::copy_n(bytes.begin(), insn.length, insn.bytes.begin());
  if (layout.displacement_size != 0)
    insn.memory.displacement = static_cast<std::int64_t>(
        number(bytes.subspan(layout.displacement, layout.displacement_size), true));
  if (layout.immediate_size != 0)
    insn.immediate =
        number(bytes.subspan(layout.immediate, layout.immediate_size), layout.immediate_signed);
}

}  // namespace vireo::x86
