#pragma once
#include <cstdint>
#include <span>

#include "x86/cpuid/cpuid_model.h"
#include "x86/semantics/handler.h"

namespace vireo::x86 {

// Control, debug and extended control registers, and the instructions that concern the CPU itself
// more than its data.

/// Every handler of this part but MOV, which the integer MOV shares its mnemonic with.
std::span<const HandlerRow> control_handlers();
/// MOV where one operand is OperandKind::kControl or kDebug.
OrFault<> move_control_register(CpuState& state, CpuPort& port, const Insn& insn);
OrFault<> move_debug_register(CpuState& state, CpuPort& port, const Insn& insn);

/// What MOV to the control register does, after the privilege check: #GP(0) for reserved bits and
/// impossible combinations, else new modes, PDPTEs and flushed translations. SDM vol. 3A, 2.5.
OrFault<> write_cr0(CpuState& state, CpuPort& port, std::uint64_t value);
OrFault<> write_cr3(CpuState& state, CpuPort& port, std::uint64_t value);
OrFault<> write_cr4(CpuState& state, CpuPort& port, std::uint64_t value);
/// What WRMSR to IA32_EFER does. LMA cannot be written: it follows LME and CR0.PG.
OrFault<> write_efer(CpuState& state, CpuPort& port, std::uint64_t value);
OrFault<> write_xcr0(CpuState& state, CpuPort& port, std::uint64_t value);

/// #GP(0) unless at privilege level 0.
inline OrFault<> require_cpl0(const CpuState& state) {
  if (state.cpl() != 0) return general_protection();
  return Unit{};
}
/// #GP(0) where CR4.UMIP keeps SGDT, SIDT, SLDT, SMSW and STR from the current privilege level.
inline OrFault<> check_umip(const CpuState& state) {
  if ((state.cr4 & cr4::kUmip) && state.cpl() != 0) return general_protection();
  return Unit{};
}

/// CPUID on the CPU with this APIC id.
void execute_cpuid(CpuState& state, const CpuidModel& model, std::uint32_t apic_id);

/// Rows of control_handlers(), by file.
namespace control_rows {
std::span<const HandlerRow> machine();
std::span<const HandlerRow> translation();
std::span<const HandlerRow> user();
}  // namespace control_rows

}  // namespace vireo::x86
