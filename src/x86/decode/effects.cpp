#include "x86/decode/effects.h"

#include "x86/flags.h"

namespace vireo::x86 {
namespace {

using rflags::kAf;
using rflags::kArithmetic;
using rflags::kCf;
using rflags::kOf;
using rflags::kPf;
using rflags::kSf;
using rflags::kZf;

constexpr std::uint16_t mask(std::uint64_t flags) { return static_cast<std::uint16_t>(flags); }

struct Gpr {
  std::uint16_t bit = 0;  ///< 0: no general register
  bool whole = false;     ///< a write leaves nothing of the old value
};

/// Zydis lists AL CL DL BL AH CH DH BH SPL BPL SIL DIL R8B..R15B, then AX.., EAX.., RAX..
Gpr general_register(ZydisRegister reg) {
  if (reg < ZYDIS_REGISTER_AL || reg > ZYDIS_REGISTER_R15) return {};
  if (reg >= ZYDIS_REGISTER_AX) {
    const auto place = static_cast<unsigned>(reg - ZYDIS_REGISTER_AX);
    return {static_cast<std::uint16_t>(1u << place % 16), place >= 16};
  }
  const auto place = static_cast<unsigned>(reg - ZYDIS_REGISTER_AL);
  return {static_cast<std::uint16_t>(1u << (place < 4 ? place : place - 4)), false};
}

void add_operand(const ZydisDecodedOperand& operand, Effects& effects) {
  if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    effects.gpr_read |= general_register(operand.mem.base).bit;
    effects.gpr_read |= general_register(operand.mem.index).bit;
    return;
  }
  if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER) return;
  const Gpr gpr = general_register(operand.reg.value);
  if (gpr.bit == 0) return;
  const bool written = (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
  const bool surely = (operand.actions & ZYDIS_OPERAND_ACTION_WRITE) != 0;
  if (written) effects.gpr_written |= gpr.bit;
  if ((operand.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0 ||
      (written && !(surely && gpr.whole)))
    effects.gpr_read |= gpr.bit;
}

/// Of a shift or rotate: the operand that counts.
const ZydisDecodedOperand* count_operand(ZydisMnemonic mnemonic,
                                         const ZydisDecodedOperand* operands) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
      return &operands[1];
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
      return &operands[2];
    default:
      return nullptr;
  }
}

/// SDM vol. 2B, "SAL/SAR/SHL/SHR" and "RCL/RCR/ROL/ROR": a count of 0 leaves the flags alone.
void adjust_for_count(const ZydisDecodedInstruction& source, const ZydisDecodedOperand* operands,
                      Effects& effects) {
  const ZydisDecodedOperand* const count = count_operand(source.mnemonic, operands);
  if (count == nullptr) return;
  if (count->type != ZYDIS_OPERAND_TYPE_IMMEDIATE) {
    effects.flags_killed = 0;
    return;
  }
  const std::uint64_t masked = count->imm.value.u & (operands[0].size == 64 ? 0x3f : 0x1f);
  if (masked == 0) effects.flags_written = effects.flags_killed = 0;
  const bool through_carry =
      source.mnemonic == ZYDIS_MNEMONIC_RCL || source.mnemonic == ZYDIS_MNEMONIC_RCR;
  if (through_carry && masked % (operands[0].size + 1u) == 0) effects.flags_killed = 0;
}

bool is_string(const ZydisDecodedInstruction& source) {
  return source.meta.category == ZYDIS_CATEGORY_STRINGOP ||
         source.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

/// What is not in Zydis' tables as the masks want it.
void adjust(const ZydisDecodedInstruction& source, const ZydisDecodedOperand* operands,
            Effects& effects) {
  constexpr std::uint16_t kRcx = 1 << 1;
  constexpr auto kRepeats = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
  if (is_string(source)) {
    for (unsigned i = 0; i < source.operand_count; ++i)
      if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
        effects.gpr_written |= general_register(operands[i].mem.base).bit;
    if ((source.attributes & kRepeats) == 0) return;
    effects.gpr_read |= kRcx;
    effects.gpr_written |= kRcx;
    effects.flags_killed = 0;
  }
  switch (source.mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_INTO:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_VMCALL:
    case ZYDIS_MNEMONIC_VMMCALL:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_SAHF:
      effects.flags_read = mask(kArithmetic);
      effects.flags_killed = 0;
      break;
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
      effects.flags_killed = mask(kCf);  // the undefined ones stay on some CPUs
      break;
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
      effects.flags_killed = 0;
      break;
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
      effects.flags_killed &= mask(~std::uint64_t{source.cpu_flags->undefined});
      break;
    case ZYDIS_MNEMONIC_VPTEST:
    case ZYDIS_MNEMONIC_VTESTPS:
    case ZYDIS_MNEMONIC_VTESTPD:
      effects.flags_written = effects.flags_killed = mask(kArithmetic);
      break;
    case ZYDIS_MNEMONIC_BSF:
    case ZYDIS_MNEMONIC_BSR:
      effects.gpr_read |= effects.gpr_written;  // a source of 0 leaves the destination alone
      effects.flags_killed = mask(kZf);
      break;
    default:
      break;
  }
}

}  // namespace

Effects effects_of(const ZydisDecodedInstruction& source, const ZydisDecodedOperand* operands) {
  Effects effects;
  for (unsigned i = 0; i < source.operand_count; ++i) add_operand(operands[i], effects);
  if (const ZydisAccessedFlags* const flags = source.cpu_flags) {
    const auto set = flags->modified | flags->set_0 | flags->set_1;
    effects.flags_read = mask(flags->tested & kArithmetic);
    effects.flags_written = mask((set | flags->undefined) & kArithmetic);
    effects.flags_killed = effects.flags_written;
  }
  adjust_for_count(source, operands, effects);
  adjust(source, operands, effects);
  return effects;
}

Layout layout_of(const ZydisDecodedInstruction& source) {
  Layout layout;
  const auto& raw = source.raw;
  unsigned end;  // behind the part looked at last
  if ((source.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0) {
    layout.modrm = raw.modrm.offset;
    layout.opcode = static_cast<std::uint8_t>(layout.modrm - 1);
    end = layout.modrm + 1u;
    if ((source.attributes & ZYDIS_ATTRIB_HAS_SIB) != 0) {
      layout.sib = raw.sib.offset;
      ++end;
    }
  } else {
    end = source.length;
    if (raw.imm[0].size != 0) end = raw.imm[0].offset;
    if (raw.disp.size != 0) end = raw.disp.offset;
    layout.opcode = static_cast<std::uint8_t>(end - 1);
  }
  if (raw.disp.size != 0) {
    layout.displacement = raw.disp.offset;
    layout.displacement_size = raw.disp.size / 8;
    end = layout.displacement + layout.displacement_size;
  }
  if (end < source.length) {
    layout.immediate = static_cast<std::uint8_t>(end);
    layout.immediate_size = static_cast<std::uint8_t>(source.length - end);
    layout.immediate_signed = raw.imm[0].is_signed != 0;
  }
  if (source.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
    layout.vex = static_cast<std::uint8_t>(raw.vex.offset + 1);
  else if ((source.attributes & ZYDIS_ATTRIB_HAS_REX) != 0)
    layout.rex = static_cast<std::uint8_t>(raw.rex.offset + 1);
  return layout;
}

}  // namespace vireo::x86
