#include "x86/delivery/syscall.h"

#include <array>

#include "x86/cpuid/cpuid_model.h"
#include "x86/delivery/segment_rules.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

/// The flags that SYSRET takes from R11: all but RF and VM.
constexpr std::uint64_t kSysretFlags = 0x3c7fd7;

bool is_amd(const CpuPort& port) { return port.cpuid().vendor() == Vendor::kAmd; }

unsigned star_selector(const CpuState& state, unsigned shift) {
  return state.msr.star >> shift & 0xffff;
}

OrFault<> enter_flat(CpuState& state, CpuPort& port, unsigned cs, unsigned ss, unsigned cpl,
                     bool is_long) {
  const auto code = static_cast<std::uint16_t>(cs), stack = static_cast<std::uint16_t>(ss);
  state.segment[kCs] = with_rpl(flat_code_segment(code, cpl, is_long), cpl);
  state.segment[kSs] = with_rpl(flat_stack_segment(stack, cpl), cpl);
  port.mode_changed();
  return Unit{};
}

OrFault<> check_syscall_enabled(const CpuState& state, const CpuPort& port) {
  if ((state.msr.efer & efer::kSce) == 0) return undefined_opcode();
  if (!state.code64() && (!state.protected_mode() || !is_amd(port))) return undefined_opcode();
  return Unit{};
}

OrFault<> syscall(CpuState& state, CpuPort& port, const Insn&) {
  TRY(check_syscall_enabled(state, port));
  const unsigned cs = star_selector(state, 32) & 0xfffc;
  if (!state.long_mode()) {
    state.gpr[kRcx] = state.rip & 0xffffffff;
    state.rip = state.msr.star & 0xffffffff;
    state.rflags &= ~(rflags::kIf | rflags::kRf | rflags::kVm);
    return enter_flat(state, port, cs, cs + 8, 0, false);
  }
  state.gpr[kRcx] = state.rip;
  state.gpr[kR11] = state.rflags;
  state.rip = state.code64() ? state.msr.lstar : state.msr.cstar;
  state.rflags = (state.rflags & ~(state.msr.fmask | rflags::kRf)) | rflags::kFixed1;
  return enter_flat(state, port, cs, cs + 8, 0, true);
}

OrFault<> sysret(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_syscall_enabled(state, port));
  if (state.cpl() != 0) return general_protection();
  const bool to_64bit = state.code64() && insn.operand_width == 8;
  if (to_64bit && !canonical(state, state.gpr[kRcx])) return general_protection();
  state.rip = to_64bit ? state.gpr[kRcx] : state.gpr[kRcx] & 0xffffffff;
  if (state.long_mode())
    state.rflags = (state.gpr[kR11] & kSysretFlags & rflags::kAll) | rflags::kFixed1;
  else
    state.rflags |= rflags::kIf;
  // Unlike other instructions it traps behind itself if it has set TF, before the program goes on.
  if (state.rflags & rflags::kTf) state.pending_debug |= dr6::kBs;
  const unsigned base = star_selector(state, 48);
  return enter_flat(state, port, to_64bit ? base + 16 : base, base + 8, 3, to_64bit);
}

OrFault<> check_sysenter_enabled(const CpuState& state, const CpuPort& port) {
  if (state.long_mode() && is_amd(port)) return undefined_opcode();
  if (!state.protected_mode() || (state.msr.sysenter_cs & 0xfffc) == 0) return general_protection();
  return Unit{};
}

OrFault<> sysenter(CpuState& state, CpuPort& port, const Insn&) {
  TRY(check_sysenter_enabled(state, port));
  const bool wide = state.long_mode();
  const std::uint64_t mask = width_mask(wide ? 8 : 4);
  state.rflags &= ~(rflags::kVm | rflags::kIf | rflags::kRf);
  state.gpr[kRsp] = state.msr.sysenter_esp & mask;
  state.rip = state.msr.sysenter_eip & mask;
  const unsigned cs = state.msr.sysenter_cs & 0xfffc;
  return enter_flat(state, port, cs, cs + 8, 0, wide);
}

OrFault<> sysexit(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_sysenter_enabled(state, port));
  if (state.cpl() != 0) return general_protection();
  const bool to_64bit = state.code64() && insn.operand_width == 8;
  if (to_64bit && (!canonical(state, state.gpr[kRcx]) || !canonical(state, state.gpr[kRdx])))
    return general_protection();
  const std::uint64_t mask = width_mask(to_64bit ? 8 : 4);
  state.gpr[kRsp] = state.gpr[kRcx] & mask;
  state.rip = state.gpr[kRdx] & mask;
  const unsigned cs = (state.msr.sysenter_cs & 0xffff) + (to_64bit ? 32 : 16);
  return enter_flat(state, port, cs, cs + 8, 3, to_64bit);
}

constexpr std::array kRows{
    HandlerRow{ZYDIS_MNEMONIC_SYSCALL, syscall},
    HandlerRow{ZYDIS_MNEMONIC_SYSRET, sysret},
    HandlerRow{ZYDIS_MNEMONIC_SYSENTER, sysenter},
    HandlerRow{ZYDIS_MNEMONIC_SYSEXIT, sysexit},
};

}  // namespace

std::span<const HandlerRow> syscall_handlers() { return kRows; }

}  // namespace vireo::x86
