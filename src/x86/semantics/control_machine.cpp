#include <array>
#include <utility>

#include "x86/semantics/control.h"
#include "x86/semantics/msr.h"
#include "x86/semantics/operands.h"
#include "x86/semantics/serializing.h"

namespace vireo::x86 {
namespace {

OrFault<> lmsw(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(require_cpl0(state));
  const std::uint64_t source = TRY(read_operand(state, port, insn, 0));
  constexpr std::uint64_t kLoaded = cr0::kMp | cr0::kEm | cr0::kTs;
  // PE can be set this way but not cleared.
  const std::uint64_t value = (state.cr0 & ~kLoaded) | (source & kLoaded) | (source & cr0::kPe);
  return write_cr0(state, port, value);
}

OrFault<> smsw(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_umip(state));
  return write_operand(state, port, insn, 0, state.cr0);
}

OrFault<> clts(CpuState& state, CpuPort& port, const Insn&) {
  TRY(require_cpl0(state));
  state.cr0 &= ~cr0::kTs;
  port.mode_changed();
  return Unit{};
}

OrFault<> swapgs(CpuState& state, CpuPort&, const Insn&) {
  TRY(require_cpl0(state));
  std::swap(state.segment[kGs].base, state.msr.kernel_gs_base);
  return Unit{};
}

/// CLAC and STAC: #UD, not #GP, above privilege level 0.
OrFault<> set_alignment_check(CpuState& state, CpuPort& port, const Insn& insn) {
  if (state.cpl() != 0) return undefined_opcode();
  if (insn.mnemonic == ZYDIS_MNEMONIC_STAC)
    state.rflags |= rflags::kAc;
  else
    state.rflags &= ~rflags::kAc;
  port.mode_changed();
  return Unit{};
}

OrFault<> monitor(CpuState& state, CpuPort& port, const Insn& insn) {
  if (state.cpl() != 0) return undefined_opcode();
  if (state.gpr[kRcx] & width_mask(state.code64() ? 8 : 4)) return general_protection();
  const SegmentIndex segment = insn.memory.segment;
  const std::uint64_t offset = state.gpr[kRax] & width_mask(insn.address_width);
  const auto address = TRY(linear_address(state, segment, offset, 1, Use::kRead));
  TRY(port.read<std::uint8_t>(address, Privilege::kCurrent));
  return Unit{};
}

/// MWAIT may end for any reason, hence at once: a store by another CPU is never missed.
OrFault<> mwait(CpuState& state, CpuPort&, const Insn&) {
  if (state.cpl() != 0) return undefined_opcode();
  if (state.gpr[kRcx] & width_mask(state.code64() ? 8 : 4)) return general_protection();
  return Unit{};
}

OrFault<> rdmsr(CpuState& state, CpuPort& port, const Insn&) {
  TRY(require_cpl0(state));
  const auto index = static_cast<std::uint32_t>(state.gpr[kRcx]);
  const std::uint64_t value = TRY(read_msr(state, port, index));
  state.gpr[kRax] = value & 0xffffffff;
  state.gpr[kRdx] = value >> 32;
  return Unit{};
}

OrFault<> wrmsr(CpuState& state, CpuPort& port, const Insn&) {
  TRY(require_cpl0(state));
  const auto index = static_cast<std::uint32_t>(state.gpr[kRcx]);
  return write_msr(state, port, index, state.gpr[kRdx] << 32 | (state.gpr[kRax] & 0xffffffff));
}

/// RSM exists in system-management mode only, which there is none of.
OrFault<> rsm(CpuState&, CpuPort&, const Insn&) { return undefined_opcode(); }

}  // namespace

std::span<const HandlerRow> control_rows::machine() {
  static constexpr std::array kRows = {
      HandlerRow{ZYDIS_MNEMONIC_LMSW, serializing<lmsw>},
      HandlerRow{ZYDIS_MNEMONIC_SMSW, smsw},
      HandlerRow{ZYDIS_MNEMONIC_CLTS, serializing<clts>},
      HandlerRow{ZYDIS_MNEMONIC_SWAPGS, swapgs},
      HandlerRow{ZYDIS_MNEMONIC_CLAC, set_alignment_check},
      HandlerRow{ZYDIS_MNEMONIC_STAC, set_alignment_check},
      HandlerRow{ZYDIS_MNEMONIC_MONITOR, monitor},
      HandlerRow{ZYDIS_MNEMONIC_MWAIT, mwait},
      HandlerRow{ZYDIS_MNEMONIC_RDMSR, rdmsr},
      HandlerRow{ZYDIS_MNEMONIC_WRMSR, serializing<wrmsr>},
      HandlerRow{ZYDIS_MNEMONIC_RSM, rsm},
  };
  return kRows;
}

}  // namespace vireo::x86
