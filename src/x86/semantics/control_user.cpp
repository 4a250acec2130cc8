#include <array>

#include "x86/semantics/base_address.h"
#include "x86/semantics/control.h"
#include "x86/semantics/operands.h"
#include "x86/semantics/serializing.h"

namespace vireo::x86 {
namespace {

std::uint32_t ecx(const CpuState& state) { return static_cast<std::uint32_t>(state.gpr[kRcx]); }

void set_edx_eax(CpuState& state, std::uint64_t value) {
  state.gpr[kRax] = value & 0xffffffff;
  state.gpr[kRdx] = value >> 32;
}

OrFault<> xgetbv(CpuState& state, CpuPort& port, const Insn&) {
  if (!(state.cr4 & cr4::kOsxsave)) return undefined_opcode();
  const bool in_use = ecx(state) == 1 && port.cpuid().features().has(Feature::kXgetbv1);
  if (ecx(state) != 0 && !in_use) return general_protection();
  // XINUSE may name more than is in use. SDM vol. 1, 13.6. Only PKRU's part is worth the look.
  std::uint64_t value = state.xcr0;
  if (in_use && state.pkru == 0) value &= ~xcr0::kPkru;
  set_edx_eax(state, value);
  return Unit{};
}

OrFault<> xsetbv(CpuState& state, CpuPort& port, const Insn&) {
  if (!(state.cr4 & cr4::kOsxsave)) return undefined_opcode();
  TRY(require_cpl0(state));
  if (ecx(state) != 0) return general_protection();
  return write_xcr0(state, port, state.gpr[kRdx] << 32 | (state.gpr[kRax] & 0xffffffff));
}

OrFault<> rdpkru(CpuState& state, CpuPort&, const Insn&) {
  if (!(state.cr4 & cr4::kPke)) return undefined_opcode();
  if (ecx(state) != 0) return general_protection();
  set_edx_eax(state, state.pkru);
  return Unit{};
}

OrFault<> wrpkru(CpuState& state, CpuPort& port, const Insn&) {
  if (!(state.cr4 & cr4::kPke)) return undefined_opcode();
  if (ecx(state) != 0 || static_cast<std::uint32_t>(state.gpr[kRdx]) != 0)
    return general_protection();
  const auto value = static_cast<std::uint32_t>(state.gpr[kRax]);
  if (value == state.pkru) return Unit{};
  state.pkru = value;
  port.mode_changed();
  return Unit{};
}

/// RDTSC and RDTSCP.
OrFault<> read_time_stamp(CpuState& state, CpuPort& port, const Insn& insn) {
  if ((state.cr4 & cr4::kTsd) && state.cpl() != 0) return general_protection();
  set_edx_eax(state, port.clock_tsc() + state.tsc_offset);
  if (insn.mnemonic == ZYDIS_MNEMONIC_RDTSCP) state.gpr[kRcx] = state.msr.tsc_aux & 0xffffffff;
  return Unit{};
}

OrFault<> rdpid(CpuState& state, CpuPort&, const Insn& insn) {
  state.gpr[insn.operands[0].number & 0xf] = state.msr.tsc_aux & 0xffffffff;
  return Unit{};
}

/// There are no performance counters, so every index is one that does not exist.
OrFault<> rdpmc(CpuState&, CpuPort&, const Insn&) { return general_protection(); }

OrFault<> cpuid(CpuState& state, CpuPort& port, const Insn&) {
  constexpr std::uint64_t kApicBit = 1u << 9;
  const auto leaf = static_cast<std::uint32_t>(state.gpr[kRax]);
  execute_cpuid(state, port.cpuid(), port.apic_id());
  if (leaf == 1 && !port.apic_enabled()) state.gpr[kRdx] &= ~kApicBit;  // SDM vol. 3A, 10.4.3
  return Unit{};
}

/// Only the guest's kernel may call.
OrFault<> vmcall(CpuState& state, CpuPort& port, const Insn&) {
  const std::uint64_t mask = state.code64() ? ~0ull : 0xffffffff;
  const std::array<std::uint64_t, 4> arguments{state.gpr[kRbx] & mask, state.gpr[kRcx] & mask,
                                               state.gpr[kRdx] & mask, state.gpr[kRsi] & mask};
  const std::uint64_t answer = state.cpl() != 0
                                   ? static_cast<std::uint64_t>(CpuPort::kHypercallNotPermitted)
                                   : port.hypercall(state.gpr[kRax] & mask, arguments);
  state.gpr[kRax] = answer & mask;
  return Unit{};
}

Segment& base_segment(CpuState& state, const Insn& insn) {
  const bool fs =
      insn.mnemonic == ZYDIS_MNEMONIC_RDFSBASE || insn.mnemonic == ZYDIS_MNEMONIC_WRFSBASE;
  return state.segment[fs ? kFs : kGs];
}

/// #UD outside 64-bit mode and where the system does not allow it.
OrFault<> check_fsgsbase(const CpuState& state) {
  if (!state.code64() || !(state.cr4 & cr4::kFsgsbase)) return undefined_opcode();
  return Unit{};
}

OrFault<> read_segment_base(CpuState& state, CpuPort&, const Insn& insn) {
  TRY(check_fsgsbase(state));
  write_gpr(state, insn.operands[0], base_segment(state, insn).base);
  return Unit{};
}

OrFault<> write_segment_base(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_fsgsbase(state));
  const std::uint64_t base = read_gpr(state, insn.operands[0]);
  if (!canonical_base(port, base)) return general_protection();
  base_segment(state, insn).base = base;
  return Unit{};
}

struct Random {
  std::uint64_t value;
  bool valid;
};

// The host's own instruction; CPUID offers it only where the host has it.
Random host_rdrand() {
  Random result;
  asm volatile("rdrand %0" : "=r"(result.value), "=@ccc"(result.valid));
  return result;
}
Random host_rdseed() {
  Random result;
  asm volatile("rdseed %0" : "=r"(result.value), "=@ccc"(result.valid));
  return result;
}

/// RDRAND and RDSEED: CF says whether there was a number; the destination is zero if not.
OrFault<> read_random(CpuState& state, CpuPort&, const Insn& insn) {
  const Random random = insn.mnemonic == ZYDIS_MNEMONIC_RDSEED ? host_rdseed() : host_rdrand();
  write_gpr(state, insn.operands[0], random.valid ? random.value : 0);
  state.rflags = (state.rflags & ~rflags::kArithmetic) | (random.valid ? rflags::kCf : 0);
  return Unit{};
}

}  // namespace

void execute_cpuid(CpuState& state, const CpuidModel& model, std::uint32_t apic_id) {
  const CpuidLeaf leaf =
      model.cpuid(state, apic_id, static_cast<std::uint32_t>(state.gpr[kRax]), ecx(state));
  state.gpr[kRax] = leaf.eax;
  state.gpr[kRbx] = leaf.ebx;
  state.gpr[kRcx] = leaf.ecx;
  state.gpr[kRdx] = leaf.edx;
}

std::span<const HandlerRow> control_rows::user() {
  static constexpr std::array kRows = {
      HandlerRow{ZYDIS_MNEMONIC_XGETBV, xgetbv},
      HandlerRow{ZYDIS_MNEMONIC_VMCALL, vmcall},
      HandlerRow{ZYDIS_MNEMONIC_VMMCALL, vmcall},
      HandlerRow{ZYDIS_MNEMONIC_XSETBV, serializing<xsetbv>},
      HandlerRow{ZYDIS_MNEMONIC_RDPKRU, rdpkru},
      HandlerRow{ZYDIS_MNEMONIC_WRPKRU, wrpkru},
      HandlerRow{ZYDIS_MNEMONIC_RDTSC, read_time_stamp},
      HandlerRow{ZYDIS_MNEMONIC_RDTSCP, read_time_stamp},
      HandlerRow{ZYDIS_MNEMONIC_RDPID, rdpid},
      HandlerRow{ZYDIS_MNEMONIC_RDPMC, rdpmc},
      HandlerRow{ZYDIS_MNEMONIC_CPUID, serializing<cpuid>},
      HandlerRow{ZYDIS_MNEMONIC_RDFSBASE, read_segment_base},
      HandlerRow{ZYDIS_MNEMONIC_RDGSBASE, read_segment_base},
      HandlerRow{ZYDIS_MNEMONIC_WRFSBASE, write_segment_base},
      HandlerRow{ZYDIS_MNEMONIC_WRGSBASE, write_segment_base},
      HandlerRow{ZYDIS_MNEMONIC_RDRAND, read_random},
      HandlerRow{ZYDIS_MNEMONIC_RDSEED, read_random},
  };
  return kRows;
}

}  // namespace vireo::x86
