#include "x86/semantics/control.h"
#include "x86/semantics/operands.h"
#include "x86/semantics/serializing.h"

namespace vireo::x86 {
namespace {

// SDM vol. 3B, 17.2: B0-B3, BD, BS and BT; L, G, LE, GE, GD, R/W and LEN.
constexpr std::uint64_t kDr6Writable = 0xf | dr6::kBd | dr6::kBs | dr6::kBt;
constexpr std::uint64_t kDr7Writable = 0xffff23ff;

/// The register that the number means: DR4 and DR5 are DR6 and DR7 unless CR4.DE takes them away.
OrFault<unsigned> debug_register(const CpuState& state, unsigned number) {
  if (number > 7) return undefined_opcode();
  if (number != 4 && number != 5) return number;
  if (state.cr4 & cr4::kDe) return undefined_opcode();
  return number + 2;
}

std::uint64_t read_debug(const CpuState& state, unsigned number) {
  if (number == 6) return state.dr6;
  if (number == 7) return state.dr7;
  return state.dr[number];
}

OrFault<> write_debug(CpuState& state, unsigned number, std::uint64_t value) {
  if (number < 4) {
    state.dr[number] = value;
    return Unit{};
  }
  if (value >> 32) return general_protection();
  if (number == 6)
    state.dr6 = (value & kDr6Writable) | dr6::kFixed1;
  else
    state.dr7 = (value & kDr7Writable) | dr7::kFixed1;
  return Unit{};
}

}  // namespace

OrFault<> move_debug_register(CpuState& state, CpuPort& port, const Insn& insn) {
  const bool to_debug = insn.operands[0].kind == OperandKind::kDebug;
  const Operand& debug = insn.operands[to_debug ? 0 : 1];
  const Operand& general = insn.operands[to_debug ? 1 : 0];
  const unsigned number = TRY(debug_register(state, debug.number));
  TRY(require_cpl0(state));
  if (state.dr7 & dr7::kGd) return tl::unexpected(Fault{Vector::kDB, 0, 0, dr6::kBd});

  const std::uint64_t mask = width_mask(state.code64() ? 8 : 4);
  std::uint64_t& reg = state.gpr[general.number & 0xf];
  if (!to_debug) {
    reg = read_debug(state, number) & mask;
    return Unit{};
  }
  drain_stores();
  TRY(write_debug(state, number, reg & mask));
  port.mode_changed();
  return Unit{};
}

}  // namespace vireo::x86
