#include "x86/semantics/fpu_state.h"

#include <algorithm>
#include <array>

#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

OrFault<> check_mxcsr_access(const CpuState& state, const Insn& insn) {
  return insn.vex ? check_avx(state) : check_sse(state);
}

OrFault<> check_pending(const CpuState& state) {
  if (state.fpu.status & x87_status::kErrorSummary) return fault(Vector::kMF);
  return Unit{};
}

}  // namespace

OrFault<> check_x87_no_wait(const CpuState& state) {
  if (state.cr0 & (cr0::kEm | cr0::kTs)) return fault(Vector::kNM);
  return Unit{};
}

OrFault<> check_x87(const CpuState& state) {
  TRY(check_x87_no_wait(state));
  return check_pending(state);
}

OrFault<> check_mmx(const CpuState& state) {
  if (state.cr0 & cr0::kEm) return undefined_opcode();
  if (state.cr0 & cr0::kTs) return fault(Vector::kNM);
  return check_pending(state);
}

OrFault<> check_sse(const CpuState& state) {
  if ((state.cr0 & cr0::kEm) || !(state.cr4 & cr4::kOsfxsr)) return undefined_opcode();
  if (state.cr0 & cr0::kTs) return fault(Vector::kNM);
  return Unit{};
}

OrFault<> check_avx(const CpuState& state) {
  constexpr std::uint64_t needed = xcr0::kSse | xcr0::kAvx;
  if (!state.protected_mode() || state.virtual8086()) return undefined_opcode();
  if (!(state.cr4 & cr4::kOsxsave) || (state.xcr0 & needed) != needed) return undefined_opcode();
  if (state.cr0 & cr0::kTs) return fault(Vector::kNM);
  return Unit{};
}

std::uint16_t loaded_control(std::uint16_t control) {
  return static_cast<std::uint16_t>((control & 0x1f3f) | 0x40);
}

std::uint16_t loaded_status(std::uint16_t control, std::uint16_t status) {
  constexpr unsigned summary = x87_status::kErrorSummary | x87_status::kBusy;
  const bool pending = (status & ~control & fp_exception::kAll) != 0;
  return static_cast<std::uint16_t>(pending ? status | summary : status & ~summary);
}

void move_top(FpuState& fpu, unsigned top) {
  const unsigned old = (fpu.status >> x87_status::kTopShift) & 7;
  std::rotate(fpu.st.begin(), fpu.st.begin() + ((top - old) & 7), fpu.st.end());
  const unsigned others = fpu.status & ~(7u << x87_status::kTopShift);
  fpu.status = static_cast<std::uint16_t>(others | (top & 7) << x87_status::kTopShift);
}

void initialize_x87(FpuState& fpu) {
  move_top(fpu, 0);
  fpu.control = 0x37f;
  fpu.status = 0;
  fpu.tag = 0;
  fpu.opcode = 0;
  fpu.instruction_pointer = 0;
  fpu.data_pointer = 0;
}

OrFault<> fwait(CpuState& state, CpuPort&, const Insn&) {
  constexpr std::uint64_t monitored = cr0::kMp | cr0::kTs;
  if ((state.cr0 & monitored) == monitored) return fault(Vector::kNM);
  return check_pending(state);
}

OrFault<> fninit(CpuState& state, CpuPort&, const Insn&) {
  TRY(check_x87_no_wait(state));
  initialize_x87(state.fpu);
  return Unit{};
}

OrFault<> ldmxcsr(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_mxcsr_access(state, insn));
  const auto address = TRY(memory_address(state, insn, 4, Use::kRead));
  const auto value = TRY(port.read<std::uint32_t>(address, Privilege::kCurrent));
  if (value & ~mxcsr::kValid) return general_protection();
  state.fpu.mxcsr = value;
  return Unit{};
}

OrFault<> stmxcsr(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_mxcsr_access(state, insn));
  const auto address = TRY(memory_address(state, insn, 4, Use::kWrite));
  return port.write_value(address, state.fpu.mxcsr, Privilege::kCurrent);
}

std::span<const HandlerRow> fpu_state_rows() {
  static constexpr std::array kRows = {
      HandlerRow{ZYDIS_MNEMONIC_FWAIT, fwait},
      HandlerRow{ZYDIS_MNEMONIC_FNINIT, fninit},
      HandlerRow{ZYDIS_MNEMONIC_FNSTENV, fnstenv},
      HandlerRow{ZYDIS_MNEMONIC_FLDENV, fldenv},
      HandlerRow{ZYDIS_MNEMONIC_FNSAVE, fnsave},
      HandlerRow{ZYDIS_MNEMONIC_FRSTOR, frstor},
      HandlerRow{ZYDIS_MNEMONIC_FXSAVE, fxsave},
      HandlerRow{ZYDIS_MNEMONIC_FXSAVE64, fxsave},
      HandlerRow{ZYDIS_MNEMONIC_FXRSTOR, fxrstor},
      HandlerRow{ZYDIS_MNEMONIC_FXRSTOR64, fxrstor},
      HandlerRow{ZYDIS_MNEMONIC_XSAVE, xsave},
      HandlerRow{ZYDIS_MNEMONIC_XSAVE64, xsave},
      HandlerRow{ZYDIS_MNEMONIC_XSAVEOPT, xsaveopt},
      HandlerRow{ZYDIS_MNEMONIC_XSAVEOPT64, xsaveopt},
      HandlerRow{ZYDIS_MNEMONIC_XSAVEC, xsavec},
      HandlerRow{ZYDIS_MNEMONIC_XSAVEC64, xsavec},
      HandlerRow{ZYDIS_MNEMONIC_XSAVES, xsaves},
      HandlerRow{ZYDIS_MNEMONIC_XSAVES64, xsaves},
      HandlerRow{ZYDIS_MNEMONIC_XRSTOR, xrstor},
      HandlerRow{ZYDIS_MNEMONIC_XRSTOR64, xrstor},
      HandlerRow{ZYDIS_MNEMONIC_XRSTORS, xrstors},
      HandlerRow{ZYDIS_MNEMONIC_XRSTORS64, xrstors},
      HandlerRow{ZYDIS_MNEMONIC_LDMXCSR, ldmxcsr},
      HandlerRow{ZYDIS_MNEMONIC_VLDMXCSR, ldmxcsr},
      HandlerRow{ZYDIS_MNEMONIC_STMXCSR, stmxcsr},
      HandlerRow{ZYDIS_MNEMONIC_VSTMXCSR, stmxcsr},
  };
  return kRows;
}

}  // namespace vireo::x86
