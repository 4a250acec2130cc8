#include "x86/decode/decoder.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <array>
#include <bit>

#include "x86/cpuid/isa_feature.h"
#include "x86/decode/effects.h"

namespace vireo::x86 {
namespace {

ZydisDecoder make_decoder(CodeSize code_size, bool tzcnt, bool lzcnt) {
  ZydisDecoder decoder;
  switch (code_size) {
    case CodeSize::k16:
      ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
      break;
    case CodeSize::k32:
      ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
      break;
    case CodeSize::k64:
      ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
      break;
  }
  // Extensions that reuse the encodings of older instructions and are not offered: the older
  // meaning (a NOP, BSF, BSR, WBINVD) is what runs.
  for (auto mode : {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET, ZYDIS_DECODER_MODE_CLDEMOTE,
                    ZYDIS_DECODER_MODE_WBNOINVD})
    ZydisDecoderEnableMode(&decoder, mode, ZYAN_FALSE);
  ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_TZCNT, tzcnt);
  ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_LZCNT, lzcnt);
  return decoder;
}

constexpr std::size_t decoder_index(CodeSize code_size, bool tzcnt, bool lzcnt) {
  return static_cast<std::size_t>(code_size) * 4 + (tzcnt ? 2 : 0) + (lzcnt ? 1 : 0);
}

/// Made once: setting one up costs nearly a tenth of what decoding does.
const ZydisDecoder& decoder_for(CodeSize code_size, const FeatureSet& features) {
  static const std::array<ZydisDecoder, 12> kDecoders = [] {
    std::array<ZydisDecoder, 12> made;
    for (auto size : {CodeSize::k16, CodeSize::k32, CodeSize::k64})
      for (bool tzcnt : {false, true})
        for (bool lzcnt : {false, true})
          made[decoder_index(size, tzcnt, lzcnt)] = make_decoder(size, tzcnt, lzcnt);
    return made;
  }();
  return kDecoders[decoder_index(code_size, features.has(Feature::kBmi1),
                                 features.has(Feature::kAbm))];
}

/// The general register's number and width; false for any other register.
bool general_register(ZydisRegister reg, Operand& operand) {
  const int id = ZydisRegisterGetId(reg);
  switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR8: {
      const int n = reg - ZYDIS_REGISTER_AL;  // AL CL DL BL AH CH DH BH SPL BPL SIL DIL R8B ...
      const bool high = n >= 4 && n < 8;
      operand.kind = high ? OperandKind::kGprHigh : OperandKind::kGpr;
      operand.number = static_cast<std::uint8_t>(n < 4 ? n : n - 4);
      operand.width = 1;
      return true;
    }
    case ZYDIS_REGCLASS_GPR16:
      operand = {OperandKind::kGpr, static_cast<std::uint8_t>(id), 2};
      return true;
    case ZYDIS_REGCLASS_GPR32:
      operand = {OperandKind::kGpr, static_cast<std::uint8_t>(id), 4};
      return true;
    case ZYDIS_REGCLASS_GPR64:
      operand = {OperandKind::kGpr, static_cast<std::uint8_t>(id), 8};
      return true;
    default:
      return false;
  }
}

Operand register_operand(const ZydisDecodedOperand& source) {
  const ZydisRegister reg = source.reg.value;
  Operand operand;
  operand.width = static_cast<std::uint16_t>(source.size / 8);
  if (general_register(reg, operand)) return operand;
  operand.number = static_cast<std::uint8_t>(ZydisRegisterGetId(reg));
  switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_SEGMENT:
      operand.kind = OperandKind::kSegment;
      break;
    case ZYDIS_REGCLASS_CONTROL:
      operand.kind = OperandKind::kControl;
      break;
    case ZYDIS_REGCLASS_DEBUG:
      operand.kind = OperandKind::kDebug;
      break;
    case ZYDIS_REGCLASS_X87:
      operand.kind = OperandKind::kX87;
      break;
    case ZYDIS_REGCLASS_MMX:
      operand.kind = OperandKind::kMmx;
      break;
    case ZYDIS_REGCLASS_XMM:
      operand.kind = OperandKind::kXmm;
      break;
    case ZYDIS_REGCLASS_YMM:
      operand.kind = OperandKind::kYmm;
      break;
    default:
      break;
  }
  return operand;
}

MemoryOperand memory_operand(const ZydisDecodedOperand& source) {
  MemoryOperand memory;
  const auto& mem = source.mem;
  memory.segment = static_cast<SegmentIndex>(std::max(0, +ZydisRegisterGetId(mem.segment)));
  Operand reg;
  if (mem.base == ZYDIS_REGISTER_RIP || mem.base == ZYDIS_REGISTER_EIP)
    memory.base = kRipBase;
  else if (mem.base != ZYDIS_REGISTER_NONE && general_register(mem.base, reg))
    memory.base = reg.number;
  if (mem.index != ZYDIS_REGISTER_NONE) {
    memory.vsib = !general_register(mem.index, reg);
    memory.index =
        memory.vsib ? static_cast<std::uint8_t>(ZydisRegisterGetId(mem.index)) : reg.number;
    memory.scale_shift =
        static_cast<std::uint8_t>(std::countr_zero(std::max<unsigned>(1, mem.scale)));
  }
  memory.displacement = mem.disp.has_displacement ? mem.disp.value : 0;
  return memory;
}

OperandPlace place_of(ZydisOperandEncoding encoding) {
  switch (encoding) {
    case ZYDIS_OPERAND_ENCODING_NONE:
      return OperandPlace::kImplicit;
    case ZYDIS_OPERAND_ENCODING_MODRM_REG:
      return OperandPlace::kReg;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM:
      return OperandPlace::kRm;
    case ZYDIS_OPERAND_ENCODING_OPCODE:
      return OperandPlace::kOpcode;
    case ZYDIS_OPERAND_ENCODING_NDSNDD:
      return OperandPlace::kVvvv;
    default:
      return OperandPlace::kOther;
  }
}

void convert_operand(const ZydisDecodedOperand& source, Insn& insn, bool& have_immediate,
                     bool& have_memory) {
  Operand& operand = insn.operands[insn.operand_count];
  operand.width = static_cast<std::uint16_t>(source.size / 8);
  switch (source.type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
      operand = register_operand(source);
      operand.place = place_of(source.encoding);
      break;
    case ZYDIS_OPERAND_TYPE_MEMORY: {
      operand.kind = OperandKind::kMemory;
      const MemoryOperand memory = memory_operand(source);
      // MOVS and CMPS have two: the one at rSI is the one whose segment can be overridden.
      if (!have_memory || memory.base == 6) insn.memory = memory;
      have_memory = true;
      break;
    }
    case ZYDIS_OPERAND_TYPE_POINTER:
      operand.kind = OperandKind::kFar;
      insn.immediate = source.ptr.offset;
      insn.immediate2 = source.ptr.segment;
      break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
      operand.kind = source.imm.is_relative ? OperandKind::kRelative
                     : have_immediate       ? OperandKind::kImmediate2
                                            : OperandKind::kImmediate;
      (have_immediate ? insn.immediate2 : insn.immediate) = source.imm.value.u;
      have_immediate = true;
      break;
    default:
      return;
  }
  ++insn.operand_count;
}

/// String instructions, XLAT and MASKMOV name no operand, but their memory has a segment that can
/// be overridden and a width.
bool is_addressed_implicitly(const ZydisDecodedInstruction& source,
                             const ZydisDecodedOperand& operand) {
  if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY) return false;
  switch (source.mnemonic) {
    case ZYDIS_MNEMONIC_XLAT:
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
      return true;
    default:
      return source.meta.category == ZYDIS_CATEGORY_STRINGOP ||
             source.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
  }
}

/// SIB without a base (mod 0, base 5) has none whatever REX.B says, but with 32-bit addresses Zydis
/// 4.0 takes R13 and drops the displacement. Clears the bit in a copy if this is such a case.
bool mend_missing_base(const ZydisDecodedInstruction& source, std::span<const std::uint8_t> bytes,
                       std::span<std::uint8_t, kMaxInsnLength> mended) {
  if (source.machine_mode != ZYDIS_MACHINE_MODE_LONG_64 || source.address_width != 32) return false;
  if (!(source.attributes & ZYDIS_ATTRIB_HAS_SIB) || source.raw.modrm.mod != 0 ||
      source.raw.sib.base != 5)
    return false;
  const bool rex = (source.attributes & ZYDIS_ATTRIB_HAS_REX) && source.raw.rex.B;
  const bool vex = source.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && source.raw.vex.size == 3 &&
                   source.raw.vex.B == 0;  // kept as it is encoded: inverted
  if (!rex && !vex) return false;
  std::copy_n(bytes.begin(), std::min(bytes.size(), mended.size()), mended.begin());
  if (rex) mended[source.raw.rex.offset] &= 0xfe;
  if (vex) mended[source.raw.vex.offset + 1u] |= 0x20;  // stored inverted
  return true;
}

DecodeStatus status_of_failure(ZyanStatus status, std::size_t available) {
  if (status == ZYDIS_STATUS_NO_MORE_DATA)
    return available >= kMaxInsnLength ? DecodeStatus::kTooLong : DecodeStatus::kNeedMoreBytes;
  if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) return DecodeStatus::kTooLong;
  return DecodeStatus::kUndefined;
}

}  // namespace

DecodeStatus decode(std::span<const std::uint8_t> bytes, CodeSize code_size,
                    const FeatureSet& features, Insn& insn) {
  const std::size_t available = std::min(bytes.size(), kMaxInsnLength);
  if (available == 0) return DecodeStatus::kNeedMoreBytes;
  const ZydisDecoder& decoder = decoder_for(code_size, features);
  ZydisDecodedInstruction source;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  ZyanStatus status = ZydisDecoderDecodeFull(&decoder, bytes.data(), available, &source, operands);
  std::array<std::uint8_t, kMaxInsnLength> mended;
  if (ZYAN_SUCCESS(status) && mend_missing_base(source, bytes, mended))
    status = ZydisDecoderDecodeFull(&decoder, mended.data(), available, &source, operands);
  if (!ZYAN_SUCCESS(status)) return status_of_failure(status, available);
  if (source.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
      source.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
    return DecodeStatus::kUndefined;
  const IsaRule rule = isa_rule(source.meta.isa_set, source.mnemonic);
  if (!rule.exists(features, code_size == CodeSize::k64)) return DecodeStatus::kUndefined;

  insn = {};
  insn.mnemonic = source.mnemonic;
  insn.code_size = code_size;
  insn.length = source.length;
  insn.operand_width = static_cast<std::uint8_t>(source.operand_width / 8);
  insn.address_width = static_cast<std::uint8_t>(source.address_width / 8);
  insn.opcode = source.opcode;
  insn.opcode_map = static_cast<std::uint8_t>(source.opcode_map);
  insn.lock = (source.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0;
  insn.rep = (source.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)) != 0;
  insn.repne = (source.attributes & ZYDIS_ATTRIB_HAS_REPNE) != 0;
  insn.vex = source.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
  insn.far = source.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
  if (insn.vex) insn.vector_length = source.raw.vex.L ? 32 : 16;
  std::copy_n(bytes.begin(), source.length, insn.bytes.begin());
  insn.layout = layout_of(source);

  if (rule.kind == IsaRule::Kind::kNop) {
    insn.mnemonic = ZYDIS_MNEMONIC_NOP;
    return DecodeStatus::kOk;
  }
  insn.effects = effects_of(source, operands);
  bool have_immediate = false, have_memory = false;
  for (std::size_t i = 0; i < source.operand_count && insn.operand_count < 4; ++i)
    if (i < source.operand_count_visible || is_addressed_implicitly(source, operands[i]))
      convert_operand(operands[i], insn, have_immediate, have_memory);
  // With 16-bit operands 16 bits are read (SDM vol. 2B, MOVSX), of which Zydis makes 32.
  if (insn.mnemonic == ZYDIS_MNEMONIC_MOVSXD)
    insn.operands[1].width = std::min<std::uint16_t>(insn.operands[1].width, insn.operand_width);
  return DecodeStatus::kOk;
}

}  // namespace vireo::x86
