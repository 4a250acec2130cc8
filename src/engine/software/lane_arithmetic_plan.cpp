#include "engine/software/lane_arithmetic_plan.h"

namespace vireo::engine {
namespace {

/// FMA: the last two digits of the opcode's name order the operands. SDM vol. 2C, VFMADD132PD.
void plan_multiply_add(LaneArithmetic& arithmetic, std::uint8_t opcode,
                       const std::array<std::uint8_t, 3>& source) {
  constexpr std::array<std::array<std::uint8_t, 3>, 3> orders{{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}}};
  const auto& order = orders[(opcode >> 4) - 9u];
  arithmetic.kind = LaneArithmetic::Kind::kMultiplyAdd;
  for (std::size_t i = 0; i < 3; ++i) arithmetic.source[i] = source[order[i]];
  // Of each two: FMADDSUB, FMSUBADD; FMADD; FMSUB; FNMADD; FNMSUB.
  const unsigned low = opcode & 15;
  const bool minus = low >= 0xa && low <= 0xd;
  arithmetic.minus_even = minus || low == 6;
  arithmetic.minus_odd = minus || low == 7;
}

/// By opcode, which is the same for legacy and VEX encodings. SDM vol. 2D, A.3.
void plan_operation(LaneArithmetic& arithmetic, const ZydisDecodedInstruction& insn) {
  using Kind = LaneArithmetic::Kind;
  const auto set = [&](Kind kind, bool minus_even = false, bool minus_odd = false) {
    arithmetic.kind = kind;
    arithmetic.minus_even = minus_even, arithmetic.minus_odd = minus_odd;
  };
  switch (insn.opcode) {
    case 0x58:
      return set(Kind::kAdd);
    case 0x59:
      return set(Kind::kMultiply);
    case 0x5a:
      return set(Kind::kNarrow);
    case 0x5c:
      return set(Kind::kAdd, true, true);
    case 0x5e:
      return set(Kind::kDivide);
    case 0x7c:
      return set(Kind::kHorizontalAdd);
    case 0x7d:
      return set(Kind::kHorizontalAdd, true, true);
    case 0xd0:
      return set(Kind::kAdd, true, false);
    default:
      return;
  }
}

/// The vector operands in Intel order.
struct Sources {
  std::array<std::uint8_t, 3> number{};
  std::array<std::uint8_t, 3> bits{};
  std::size_t count = 0;
};

Sources find_sources(std::span<const ZydisDecodedOperand> operands) {
  Sources result;
  for (const auto& operand : operands) {
    const bool memory = operand.type == ZYDIS_OPERAND_TYPE_MEMORY;
    if (operand.visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT || result.count == 3) continue;
    if (!memory && operand.type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
    result.bits[result.count] = operand.element_type == ZYDIS_ELEMENT_TYPE_FLOAT64 ? 64 : 32;
    result.number[result.count++] =
        memory ? LaneArithmetic::kMemory
               : static_cast<std::uint8_t>(ZydisRegisterGetId(operand.reg.value) & 15);
  }
  return result;
}

/// Bits 4 to 7 of the immediate select the products, of each half of 16 bytes alike.
void plan_dot_product(LaneArithmetic& arithmetic, const ZydisDecodedInstruction& insn) {
  const bool wide = arithmetic.result_bits == 64;
  const auto selected = static_cast<unsigned>(insn.raw.imm[0].value.u >> 4) & (wide ? 3u : 15u);
  arithmetic.kind = LaneArithmetic::Kind::kDotProduct;
  arithmetic.selected = static_cast<std::uint8_t>(wide ? selected : selected | selected << 4);
}

bool is_dot_product(const ZydisDecodedInstruction& insn) {
  return insn.opcode_map == ZYDIS_OPCODE_MAP_0F3A && (insn.opcode & 0xfe) == 0x40;
}

bool is_multiply_add(const ZydisDecodedInstruction& insn) {
  return insn.opcode_map == ZYDIS_OPCODE_MAP_0F38 && insn.opcode >= 0x96 && insn.opcode <= 0xbf;
}

}  // namespace

LaneArithmetic plan_lanes(const ZydisDecodedInstruction& insn,
                          std::span<const ZydisDecodedOperand> operands, unsigned result_bits,
                          unsigned lanes) {
  LaneArithmetic result;
  const Sources sources = find_sources(operands);
  if (sources.count < 2) return result;
  const std::size_t last = sources.count - 1;
  result.result_bits = static_cast<std::uint8_t>(result_bits);
  result.source_bits = sources.bits[last];
  result.lanes = static_cast<std::uint8_t>(lanes);
  // With two operands the first one is a source as well.
  result.source = {sources.number[last - 1], sources.number[last]};
  if (is_multiply_add(insn)) {
    plan_multiply_add(result, insn.opcode, sources.number);
    return result;
  }
  if (is_dot_product(insn))
    plan_dot_product(result, insn);
  else if (insn.opcode_map == ZYDIS_OPCODE_MAP_0F)
    plan_operation(result, insn);
  else if (insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH)
    result.kind = LaneArithmetic::Kind::kNarrow;
  if (result.kind != LaneArithmetic::Kind::kNarrow) return result;
  result.source = {sources.number[last]};
  if (lanes == 1) return result;
  const unsigned length = insn.avx.vector_length == 256 ? 256 : 128;
  result.lanes = static_cast<std::uint8_t>(length / result.source_bits);
  return result;
}

}  // namespace vireo::engine
