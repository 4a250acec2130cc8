#include "engine/software/host_stub_plan.h"

#include <Zydis/Zydis.h>

#include <algorithm>

#include "engine/software/lane_arithmetic_plan.h"

namespace vireo::engine {
namespace {

using Width = StubPlan::Width;

struct Decoded {
  ZydisDecodedInstruction insn;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  x86::CodeSize code_size;

  std::span<const ZydisDecodedOperand> all() const {
    return std::span(operands).first(insn.operand_count);
  }
};

bool decode(const x86::Insn& insn, Decoded& result) {
  ZydisDecoder decoder;
  ZydisMachineMode mode = ZYDIS_MACHINE_MODE_LONG_64;
  ZydisStackWidth stack = ZYDIS_STACK_WIDTH_64;
  if (insn.code_size == x86::CodeSize::k32)
    mode = ZYDIS_MACHINE_MODE_LEGACY_32, stack = ZYDIS_STACK_WIDTH_32;
  else if (insn.code_size == x86::CodeSize::k16)
    mode = ZYDIS_MACHINE_MODE_LEGACY_16, stack = ZYDIS_STACK_WIDTH_16;
  ZydisDecoderInit(&decoder, mode, stack);
  result.code_size = insn.code_size;
  return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, insn.bytes.data(), insn.length, &result.insn,
                                             result.operands));
}

/// Instructions of these units that have a handler of their own: host_stub_rows().
bool has_handler(ZydisMnemonic mnemonic) {
  return std::ranges::any_of(host_stub_rows(),
                             [mnemonic](const auto& row) { return row.mnemonic == mnemonic; });
}

/// The unit, by extension; empty for what is not of these units or not offered to guests.
std::optional<VectorUnit> unit_of(const ZydisDecodedInstruction& insn) {
  switch (insn.meta.isa_set) {
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_SSE3X87:
      return VectorUnit::kX87;
    case ZYDIS_ISA_SET_PPRO:
      return insn.meta.category == ZYDIS_CATEGORY_X87_ALU ? std::optional(VectorUnit::kX87)
                                                          : std::nullopt;
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSSE3MMX:
      return VectorUnit::kMmx;
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSE4:
    case ZYDIS_ISA_SET_SSE42:
    case ZYDIS_ISA_SET_AES:
    case ZYDIS_ISA_SET_PCLMULQDQ:
    case ZYDIS_ISA_SET_SHA:
      return VectorUnit::kSse;
    case ZYDIS_ISA_SET_AVX:
    case ZYDIS_ISA_SET_AVXAES:
    case ZYDIS_ISA_SET_AVX2:
    case ZYDIS_ISA_SET_FMA:
    case ZYDIS_ISA_SET_F16C:
      return VectorUnit::kAvx;
    default:
      return std::nullopt;
  }
}

/// Those that the extension names but that are integer instructions, or hints and fences.
bool is_integer(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_CRC32:
    case ZYDIS_MNEMONIC_POPCNT:
    case ZYDIS_MNEMONIC_LFENCE:
    case ZYDIS_MNEMONIC_MFENCE:
    case ZYDIS_MNEMONIC_SFENCE:
      return true;
    default:
      return false;
  }
}

bool converts_between_mmx_and_float(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_CVTPD2PI:
    case ZYDIS_MNEMONIC_CVTTPD2PI:
    case ZYDIS_MNEMONIC_CVTPS2PI:
    case ZYDIS_MNEMONIC_CVTTPS2PI:
    case ZYDIS_MNEMONIC_CVTPI2PS:
    case ZYDIS_MNEMONIC_CVTPI2PD:
      return true;
    default:
      return false;
  }
}

bool is_scalar_class(const ZydisDecodedInstruction& insn) {
  return insn.meta.exception_class == ZYDIS_EXCEPTION_CLASS_SSE3 ||
         insn.meta.exception_class == ZYDIS_EXCEPTION_CLASS_AVX3;
}

/// Whether SDM vol. 2A, 2.4 lists SIMD floating-point exceptions for its class.
bool raises_simd_exceptions(const ZydisDecodedInstruction& insn) {
  switch (insn.meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_SSE2:
    case ZYDIS_EXCEPTION_CLASS_SSE3:
    case ZYDIS_EXCEPTION_CLASS_AVX2:
    case ZYDIS_EXCEPTION_CLASS_AVX3:
    case ZYDIS_EXCEPTION_CLASS_AVX11:
      return true;
    default:
      return converts_between_mmx_and_float(insn.mnemonic);
  }
}

/// Legacy instructions whose 16-byte operand may lie anywhere.
bool is_unaligned(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM:
      return true;
    default:
      return false;
  }
}

std::uint16_t alignment_of(const ZydisDecodedInstruction& insn, VectorUnit unit,
                           std::uint16_t size) {
  const bool aligned = unit == VectorUnit::kAvx
                           ? insn.meta.exception_class == ZYDIS_EXCEPTION_CLASS_AVX1
                           : unit != VectorUnit::kX87 && size == 16 && !is_unaligned(insn.mnemonic);
  return aligned ? size : 1;
}

/// MIN and MAX hand a denormal operand through without an underflow.
bool passes_operand_through(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_MINPS:
    case ZYDIS_MNEMONIC_MINPD:
    case ZYDIS_MNEMONIC_MINSS:
    case ZYDIS_MNEMONIC_MINSD:
    case ZYDIS_MNEMONIC_MAXPS:
    case ZYDIS_MNEMONIC_MAXPD:
    case ZYDIS_MNEMONIC_MAXSS:
    case ZYDIS_MNEMONIC_MAXSD:
    case ZYDIS_MNEMONIC_VMINPS:
    case ZYDIS_MNEMONIC_VMINPD:
    case ZYDIS_MNEMONIC_VMINSS:
    case ZYDIS_MNEMONIC_VMINSD:
    case ZYDIS_MNEMONIC_VMAXPS:
    case ZYDIS_MNEMONIC_VMAXPD:
    case ZYDIS_MNEMONIC_VMAXSS:
    case ZYDIS_MNEMONIC_VMAXSD:
      return true;
    default:
      return false;
  }
}

bool is_x87_control(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_FLDCW:
    case ZYDIS_MNEMONIC_FNSTCW:
    case ZYDIS_MNEMONIC_FNSTSW:
    case ZYDIS_MNEMONIC_FNCLEX:
    case ZYDIS_MNEMONIC_FENI8087_NOP:
    case ZYDIS_MNEMONIC_FDISI8087_NOP:
    case ZYDIS_MNEMONIC_FSETPM287_NOP:
      return true;
    default:
      return false;
  }
}

bool is_gpr(ZydisRegister reg) {
  const auto reg_class = ZydisRegisterGetClass(reg);
  return reg_class == ZYDIS_REGCLASS_GPR16 || reg_class == ZYDIS_REGCLASS_GPR32 ||
         reg_class == ZYDIS_REGCLASS_GPR64;
}

bool is_read(const ZydisDecodedOperand& operand) {
  return (operand.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
}
bool is_written(const ZydisDecodedOperand& operand) {
  return (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

void plan_vector(StubPlan& plan, const ZydisDecodedOperand& operand, bool vex) {
  const auto number = static_cast<unsigned>(ZydisRegisterGetId(operand.reg.value)) & 15;
  const bool ymm = ZydisRegisterGetClass(operand.reg.value) == ZYDIS_REGCLASS_YMM;
  const Width width = ymm ? Width::kYmm : Width::kXmm;
  plan.uses_ymm |= ymm;
  // What a legacy instruction writes it may write in part; with VEX it is always the whole.
  if (is_read(operand) || !vex) plan.loads[number] = std::max(plan.loads[number], width);
  if (!is_written(operand)) return;
  const Width stored = ymm ? Width::kYmm : vex ? Width::kXmmClearingUpper : Width::kXmm;
  plan.stores[number] = std::max(plan.stores[number], stored);
}

bool plan_gpr(StubPlan& plan, const ZydisDecodedOperand& operand) {
  const auto number = static_cast<std::uint8_t>(ZydisRegisterGetId(operand.reg.value) & 15);
  const bool encoded = operand.encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG ||
                       operand.encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM;
  const std::uint8_t host = encoded ? 0 : number;
  if (host > x86::kRdx || plan.gpr_count == plan.gpr.size()) return false;
  plan.gpr[plan.gpr_count++] = {number, host, static_cast<std::uint8_t>(operand.size / 8),
                                is_read(operand), is_written(operand)};
  return true;
}

bool plan_memory(StubPlan& plan, const Decoded& decoded, const ZydisDecodedOperand& operand) {
  if (operand.mem.type != ZYDIS_MEMOP_TYPE_MEM) return false;
  if (operand.visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT) return false;
  HostStub& stub = plan.stub;
  stub.memory_use = is_read(operand) && is_written(operand) ? MemoryUse::kReadWrite
                    : is_written(operand)                   ? MemoryUse::kWrite
                                                            : MemoryUse::kRead;
  stub.memory_size = static_cast<std::uint16_t>(operand.size / 8);
  stub.alignment = alignment_of(decoded.insn, stub.unit, stub.memory_size);
  return stub.memory_size != 0 && stub.memory_size <= 32;
}

bool plan_register(StubPlan& plan, const Decoded& decoded, const ZydisDecodedOperand& operand) {
  const ZydisRegister reg = operand.reg.value;
  const bool vex = plan.stub.unit == VectorUnit::kAvx;
  switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM:
      plan_vector(plan, operand, vex);
      return true;
    case ZYDIS_REGCLASS_MMX:
    case ZYDIS_REGCLASS_X87:
      return true;
    case ZYDIS_REGCLASS_FLAGS:
      // FCOMI leaves them alone if it raises an unmasked exception: they go in as well.
      plan.flags_in |= is_read(operand) || plan.stub.unit == VectorUnit::kX87;
      plan.flags_out |= is_written(operand);
      return true;
    default:
      if (is_gpr(reg)) return plan_gpr(plan, operand);
      // The rest are names for the x87's own words.
      return plan.stub.unit == VectorUnit::kX87 || decoded.insn.mnemonic == ZYDIS_MNEMONIC_EMMS;
  }
}

unsigned lane_bits(const Decoded& decoded) {
  if (decoded.insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH) return 16;
  switch (decoded.operands[0].element_type) {
    case ZYDIS_ELEMENT_TYPE_FLOAT32:
      return 32;
    case ZYDIS_ELEMENT_TYPE_FLOAT64:
      return 64;
    default:
      return 0;
  }
}

void plan_result_lanes(StubPlan& plan, const Decoded& decoded) {
  const ZydisDecodedOperand& result = decoded.operands[0];
  if (!plan.stub.floating_point || plan.stub.unit == VectorUnit::kX87 || !is_written(result))
    return;
  if (passes_operand_through(decoded.insn.mnemonic)) return;
  if (converts_between_mmx_and_float(decoded.insn.mnemonic)) return;  // never tiny
  const unsigned bits = lane_bits(decoded);
  if (bits == 0) return;
  unsigned whole = result.size;
  if (result.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    const ZydisRegister reg = result.reg.value;
    whole = ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_YMM ? 256 : 128;
    plan.stub.result_register = static_cast<std::uint8_t>(ZydisRegisterGetId(reg) & 15);
  }
  plan.stub.result_lane_bits = static_cast<std::uint8_t>(bits);
  plan.stub.result_lanes =
      static_cast<std::uint8_t>(is_scalar_class(decoded.insn) ? 1 : whole / bits);
}

/// Whether VEX.W selects the size of a general register or of what stands for it in memory: it
/// means nothing outside 64-bit mode then.
bool w_is_general_size(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_VMOVD:
    case ZYDIS_MNEMONIC_VPINSRD:
    case ZYDIS_MNEMONIC_VPEXTRD:
    case ZYDIS_MNEMONIC_VCVTSI2SS:
    case ZYDIS_MNEMONIC_VCVTSI2SD:
    case ZYDIS_MNEMONIC_VPCMPESTRI:
    case ZYDIS_MNEMONIC_VPCMPESTRM:
      return true;
    default:
      return false;
  }
}

/// Writes the host's form of the instruction, field by field.
class Rewriter {
 public:
  Rewriter(StubPlan& plan, const Decoded& decoded, const x86::Insn& source)
      : plan_(plan), decoded_(decoded), insn_(decoded.insn), source_(source) {
    find_fields();
  }

  bool write() {
    if (insn_.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
      write_vex();
    else if (insn_.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY)
      write_legacy();
    else
      return false;
    put(insn_.opcode);
    if (insn_.raw.modrm.offset != 0)
      put(static_cast<unsigned>(mod_ << 6 | (reg_ & 7) << 3 | (rm_ & 7)));
    write_immediate();
    return true;
  }

 private:
  static constexpr unsigned kMemory = 6;  // [RSI]
  static constexpr unsigned kGpr = 0;     // RAX

  bool long_mode() const { return decoded_.code_size == x86::CodeSize::k64; }

  void find_fields() {
    mod_ = insn_.raw.modrm.mod;
    reg_ = insn_.raw.modrm.reg & 7u;
    rm_ = insn_.raw.modrm.rm & 7u;
    for (const auto& operand : decoded_.all()) {
      if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
          operand.encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
        mod_ = 0, rm_ = kMemory;
      if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
      const ZydisRegister reg = operand.reg.value;
      const auto id = static_cast<unsigned>(ZydisRegisterGetId(reg));
      has_gpr_ |= is_gpr(reg) && operand.encoding != ZYDIS_OPERAND_ENCODING_NONE;
      if (operand.encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG) reg_ = is_gpr(reg) ? kGpr : id;
      if (operand.encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) rm_ = is_gpr(reg) ? kGpr : id;
      if (operand.encoding == ZYDIS_OPERAND_ENCODING_NDSNDD) vvvv_ = id;
      has_is4_ |= operand.encoding == ZYDIS_OPERAND_ENCODING_IS4;
    }
  }

  void write_legacy() {
    for (unsigned i = 0; i < insn_.raw.prefix_count; ++i)
      if (insn_.raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
        put(insn_.raw.prefixes[i].value);
    const bool w = insn_.raw.rex.W != 0 && plan_.stub.unit != VectorUnit::kX87;
    const unsigned rex = 0x40u | (w ? 8u : 0) | (reg_ & 8) >> 1 | (rm_ & 8) >> 3;
    if (rex != 0x40) put(rex);
    if (insn_.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) put(0x0f);
    if (insn_.opcode_map == ZYDIS_OPCODE_MAP_0F38) put(0x38);
    if (insn_.opcode_map == ZYDIS_OPCODE_MAP_0F3A) put(0x3a);
  }

  void write_vex() {
    const bool general_size = has_gpr_ || w_is_general_size(insn_.mnemonic);
    const bool w = insn_.raw.vex.W != 0 && (long_mode() || !general_size);
    put(0xc4);
    put((~reg_ & 8) << 4 | 0x40u | (~rm_ & 8) << 2 | insn_.raw.vex.m_mmmm);
    put((w ? 0x80u : 0) | (~vvvv_ & 15) << 3 | (insn_.raw.vex.L ? 4u : 0) | insn_.raw.vex.pp);
  }

  void write_immediate() {
    const auto& raw = insn_.raw.imm[0];
    for (unsigned i = 0; i < raw.size / 8u; ++i) {
      const unsigned byte = source_.bytes[raw.offset + i];
      put(has_is4_ && !long_mode() ? byte & 0x7f : byte);
    }
  }

  void put(unsigned byte) { plan_.bytes[plan_.length++] = static_cast<std::uint8_t>(byte); }

  StubPlan& plan_;
  const Decoded& decoded_;
  const ZydisDecodedInstruction& insn_;
  const x86::Insn& source_;
  unsigned mod_ = 0, reg_ = 0, rm_ = 0, vvvv_ = 0;
  bool has_gpr_ = false, has_is4_ = false;
};

}  // namespace

std::optional<StubPlan> plan_stub(const x86::Insn& insn) {
  Decoded decoded;
  if (!decode(insn, decoded)) return std::nullopt;
  const ZydisMnemonic mnemonic = decoded.insn.mnemonic;
  auto unit = unit_of(decoded.insn);
  if (!unit || is_integer(mnemonic) || has_handler(mnemonic)) return std::nullopt;
  if (mnemonic == ZYDIS_MNEMONIC_FISTTP) unit = VectorUnit::kX87;

  StubPlan plan;
  const auto uses_mmx = [](const ZydisDecodedOperand& operand) {
    return operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(operand.reg.value) == ZYDIS_REGCLASS_MMX;
  };
  if (std::ranges::any_of(decoded.all(), uses_mmx)) unit = VectorUnit::kMmx;
  plan.stub.unit = *unit;
  plan.stub.floating_point = *unit == VectorUnit::kX87 || raises_simd_exceptions(decoded.insn);
  plan.stub.records_pointers = *unit == VectorUnit::kX87 && !is_x87_control(mnemonic);
  plan.writes_control = mnemonic == ZYDIS_MNEMONIC_FLDCW;

  for (const auto& operand : decoded.all()) {
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && !plan_memory(plan, decoded, operand))
      return std::nullopt;
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER && !plan_register(plan, decoded, operand))
      return std::nullopt;
  }
  plan_result_lanes(plan, decoded);
  if (plan.stub.result_lane_bits != 0)
    plan.stub.arithmetic =
        plan_lanes(decoded.insn, decoded.all(), plan.stub.result_lane_bits, plan.stub.result_lanes);
  if (!Rewriter(plan, decoded, insn).write()) return std::nullopt;
  return plan;
}

}  // namespace vireo::engine
