#include "differential/vendors.h"

#include <algorithm>

namespace vireo::test {
namespace {

bool writes_memory(const ZydisDecodedInstruction& instruction,
                   const ZydisDecodedOperand* operands) {
  for (unsigned i = 0; i < instruction.operand_count; ++i)
    if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
        (operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0)
      return true;
  return false;
}

bool uses_memory(const ZydisDecodedInstruction& instruction, const ZydisDecodedOperand* operands) {
  return std::any_of(operands, operands + instruction.operand_count,
                     [](const auto& operand) { return operand.type == ZYDIS_OPERAND_TYPE_MEMORY; });
}

/// In 64-bit mode Intel's silicon does not look at the prefix 66 in front of a near branch; AMD's
/// cuts the target to 16 bits.
bool is_short_near_branch(const ZydisDecodedInstruction& instruction) {
  return instruction.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 &&
         instruction.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
         (instruction.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) != 0;
}

bool has_repeat_prefix(const ZydisDecodedInstruction& instruction) {
  const auto* const begin = instruction.raw.prefixes;
  return std::any_of(begin, begin + instruction.raw.prefix_count, [](const auto& prefix) {
    return prefix.value == 0xf2 || prefix.value == 0xf3;
  });
}

/// With a count in less than a whole register: what becomes of the rest of it where nothing is
/// repeated, and which page is asked for first.
bool is_narrow_repetition(const ZydisDecodedInstruction& instruction) {
  return instruction.meta.category == ZYDIS_CATEGORY_STRINGOP && has_repeat_prefix(instruction) &&
         (instruction.attributes & ZYDIS_ATTRIB_HAS_ADDRESSSIZE) != 0;
}

}  // namespace

bool vendors_differ(const ZydisDecodedInstruction& instruction,
                    const ZydisDecodedOperand* operands) {
  if (is_short_near_branch(instruction) || is_narrow_repetition(instruction)) return true;
  switch (instruction.mnemonic) {
    case ZYDIS_MNEMONIC_ENTER:    // whether the stack's limit or the page is asked for first
    case ZYDIS_MNEMONIC_LDMXCSR:  // AMD's has a bit for misaligned operands
    case ZYDIS_MNEMONIC_VLDMXCSR:
    case ZYDIS_MNEMONIC_MASKMOVQ:  // whether bytes that are not written are asked for
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
    case ZYDIS_MNEMONIC_VCVTPS2PH:  // denormal numbers
    case ZYDIS_MNEMONIC_UD0:        // has operands or none
    case ZYDIS_MNEMONIC_PAUSE:      // with REX.B an exchange
      return true;
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
      return has_repeat_prefix(instruction);
    case ZYDIS_MNEMONIC_NOP:
      return instruction.raw.modrm.mod == 3;  // of a prefetch: undefined
    default:
      break;
  }
  switch (instruction.meta.isa_set) {
    case ZYDIS_ISA_SET_AVX2GATHER:  // what is left of one that faults
      return true;
    case ZYDIS_ISA_SET_SHA:  // operands that are not aligned
      return uses_memory(instruction, operands);
    case ZYDIS_ISA_SET_X87:  // whether what is not stored is asked for
    case ZYDIS_ISA_SET_SSE3X87:
      return writes_memory(instruction, operands);
    case ZYDIS_ISA_SET_AVX:  // VEX.W outside 64-bit mode
    case ZYDIS_ISA_SET_AVX2:
      return instruction.machine_mode != ZYDIS_MACHINE_MODE_LONG_64 && instruction.raw.vex.W != 0;
    default:
      return false;
  }
}

bool vendors_leave_other_flags(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_MUL:
    case ZYDIS_MNEMONIC_IMUL:
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
    case ZYDIS_MNEMONIC_AAA:
    case ZYDIS_MNEMONIC_AAS:
    case ZYDIS_MNEMONIC_AAM:
    case ZYDIS_MNEMONIC_AAD:
    case ZYDIS_MNEMONIC_DAA:
    case ZYDIS_MNEMONIC_DAS:
    case ZYDIS_MNEMONIC_LZCNT:
    case ZYDIS_MNEMONIC_TZCNT:
    case ZYDIS_MNEMONIC_BSF:
    case ZYDIS_MNEMONIC_BSR:
    case ZYDIS_MNEMONIC_BEXTR:
    case ZYDIS_MNEMONIC_BZHI:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
      return true;
    default:
      return false;
  }
}

}  // namespace vireo::test
