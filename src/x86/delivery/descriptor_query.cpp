#include "x86/delivery/descriptor_query.h"

#include <algorithm>
#include <array>

#include "x86/delivery/descriptor.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

OrFault<> require_protected(const CpuState& state) {
  if (!state.protected_mode() || state.virtual8086()) return undefined_opcode();
  return Unit{};
}

void set_zf(CpuState& state, bool value) {
  state.rflags = value ? state.rflags | rflags::kZf : state.rflags & ~rflags::kZf;
}

/// The descriptor, or nothing where LAR and the others say no instead of faulting.
OrFault<std::optional<Descriptor>> find(const CpuState& state, CpuPort& port,
                                        std::uint16_t selector) {
  if (is_null(selector)) return std::nullopt;
  const auto descriptor = read_descriptor(state, port, selector, Raise{});
  if (descriptor) return *descriptor;
  if (descriptor.error().vector == Vector::kGP) return std::nullopt;
  return tl::unexpected(descriptor.error());
}

bool reachable(const CpuState& state, const Descriptor& descriptor, std::uint16_t selector) {
  const unsigned rpl = selector & 3;
  return descriptor.conforming() || std::max(state.cpl(), rpl) <= descriptor.dpl();
}

/// System types that LAR answers for; LSL leaves out the gates. SDM vol. 2A, LAR and LSL.
bool known_to_lar(const CpuState& state, const Descriptor& descriptor) {
  if (!descriptor.system()) return true;
  switch (descriptor.system_type()) {
    case SystemType::kLdt:
    case SystemType::kTss32:
    case SystemType::kBusyTss32:
    case SystemType::kCallGate32:
      return true;
    case SystemType::kTss16:
    case SystemType::kBusyTss16:
    case SystemType::kCallGate16:
    case SystemType::kTaskGate:
      return !state.long_mode();
    default:
      return false;
  }
}
bool known_to_lsl(const CpuState& state, const Descriptor& descriptor) {
  if (!descriptor.system()) return true;
  return known_to_lar(state, descriptor) && (descriptor.tss() || descriptor.is(SystemType::kLdt));
}

OrFault<std::uint16_t> selector_operand(CpuState& state, CpuPort& port, const Insn& insn,
                                        unsigned n) {
  if (insn.operands[n].kind != OperandKind::kMemory)
    return static_cast<std::uint16_t>(read_gpr(state, insn.operands[n]));
  const auto address = TRY(memory_address(state, insn, 2, Use::kRead));
  return port.read<std::uint16_t>(address, Privilege::kCurrent);
}

OrFault<> lar(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_protected(state));
  const std::uint16_t selector = TRY(selector_operand(state, port, insn, 1));
  const auto found = TRY(find(state, port, selector));
  const bool good = found && known_to_lar(state, *found) && reachable(state, *found, selector);
  set_zf(state, good);
  // Bits 16-19 are undefined in the manual; processors show those of the limit.
  if (good) write_gpr(state, insn.operands[0], found->low >> 32 & 0x00ffff00);
  return Unit{};
}

OrFault<> lsl(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_protected(state));
  const std::uint16_t selector = TRY(selector_operand(state, port, insn, 1));
  const auto found = TRY(find(state, port, selector));
  const bool good = found && known_to_lsl(state, *found) && reachable(state, *found, selector);
  set_zf(state, good);
  if (good) write_gpr(state, insn.operands[0], found->limit());
  return Unit{};
}

OrFault<> verr(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_protected(state));
  const std::uint16_t selector = TRY(selector_operand(state, port, insn, 0));
  const auto found = TRY(find(state, port, selector));
  set_zf(state, found && found->readable() && reachable(state, *found, selector));
  return Unit{};
}

OrFault<> verw(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_protected(state));
  const std::uint16_t selector = TRY(selector_operand(state, port, insn, 0));
  const auto found = TRY(find(state, port, selector));
  set_zf(state, found && found->writable_data() && reachable(state, *found, selector));
  return Unit{};
}

OrFault<> arpl(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_protected(state));
  const std::uint64_t selector = TRY(read_operand(state, port, insn, 0));
  const std::uint64_t rpl = read_gpr(state, insn.operands[1]) & 3;
  const bool adjust = (selector & 3) < rpl;
  if (adjust) TRY(write_operand(state, port, insn, 0, (selector & ~3ull) | rpl));
  set_zf(state, adjust);
  return Unit{};
}

constexpr std::array kRows{
    HandlerRow{ZYDIS_MNEMONIC_LAR, lar},   HandlerRow{ZYDIS_MNEMONIC_LSL, lsl},
    HandlerRow{ZYDIS_MNEMONIC_VERR, verr}, HandlerRow{ZYDIS_MNEMONIC_VERW, verw},
    HandlerRow{ZYDIS_MNEMONIC_ARPL, arpl},
};

}  // namespace

std::span<const HandlerRow> descriptor_query_handlers() { return kRows; }

}  // namespace vireo::x86
