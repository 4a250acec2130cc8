#pragma once
#include <array>
#include <cstdint>

#include "x86/control_registers.h"
#include "x86/flags.h"
#include "x86/segment.h"

namespace vireo::x86 {

enum Gpr : std::uint8_t {
  kRax,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
};

/// x87, SSE and AVX state: the FXSAVE64 image (SDM vol. 1, table 10-2) followed by the upper halves
/// of YMM0-15, in the order of the XSAVE standard format. ST0-ST7 are relative to the top of stack.
struct alignas(64) FpuState {
  std::uint16_t control = 0x37f;
  std::uint16_t status = 0;
  std::uint8_t tag = 0;  ///< abridged: bit i is set when physical register i is not empty
  std::uint8_t reserved0 = 0;
  std::uint16_t opcode = 0;
  std::uint64_t instruction_pointer = 0;
  std::uint64_t data_pointer = 0;
  std::uint32_t mxcsr = 0x1f80;
  std::uint32_t mxcsr_mask = 0xffff;
  std::array<std::array<std::uint64_t, 2>, 8> st{};
  std::array<std::array<std::uint64_t, 2>, 16> xmm{};
  std::array<std::uint64_t, 12> reserved1{};
  std::array<std::array<std::uint64_t, 2>, 16> ymm_high{};

  bool operator==(const FpuState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [control, status, tag, r0, opcode, ip, dp, mxcsr, mask, st, xmm, r1, ymm_high] = self;
    visit("control", control), visit("status", status), visit("tag", tag);
    visit("reserved0", r0), visit("opcode", opcode), visit("instruction_pointer", ip);
    visit("data_pointer", dp), visit("mxcsr", mxcsr), visit("mxcsr_mask", mask);
    visit("st", st), visit("xmm", xmm), visit("reserved1", r1), visit("ymm_high", ymm_high);
  }
};

/// What a CPU is doing between instructions.
enum class Activity : std::uint8_t {
  kRunning = 0,
  kHalted = 1,       ///< after HLT or MWAIT
  kWaitForSipi = 2,  ///< after INIT on an application processor
  kShutdown = 3,     ///< after a triple fault
};

/// Model-specific registers that are plain storage or drive semantics inside the CPU. SDM vol. 4.
/// The local APIC's and the clock's are not here: they belong to the machine.
struct MsrState {
  std::uint64_t efer = 0;
  std::uint64_t star = 0;
  std::uint64_t lstar = 0;
  std::uint64_t cstar = 0;
  std::uint64_t fmask = 0;
  std::uint64_t kernel_gs_base = 0;
  std::uint64_t sysenter_cs = 0;
  std::uint64_t sysenter_esp = 0;
  std::uint64_t sysenter_eip = 0;
  std::uint64_t tsc_aux = 0;
  std::uint64_t tsc_adjust = 0;
  std::uint64_t pat = 0x0007040600070406;
  std::uint64_t misc_enable = 1;
  std::uint64_t mtrr_def_type = 0;
  std::array<std::uint64_t, 11> mtrr_fixed{};
  std::array<std::uint64_t, 16> mtrr_variable{};  ///< base and mask, alternating
  std::uint64_t mcg_status = 0;
  std::uint64_t mcg_ctl = 0;
  std::array<std::uint64_t, 40> mc_banks{};  ///< CTL, STATUS, ADDR and MISC of each of 10 banks
  std::uint64_t spec_ctrl = 0;
  std::uint64_t debug_ctl = 0;
  std::uint64_t xss = 0;
  std::uint64_t feature_control = 1;
  std::uint64_t smi_count = 0;

  bool operator==(const MsrState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [efer, star, lstar, cstar, fmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip,
           tsc_aux, tsc_adjust, pat, misc_enable, mtrr_def_type, mtrr_fixed, mtrr_variable,
           mcg_status, mcg_ctl, mc_banks, spec_ctrl, debug_ctl, xss, feature_control, smi_count] =
        self;
    visit("efer", efer), visit("star", star), visit("lstar", lstar), visit("cstar", cstar);
    visit("fmask", fmask), visit("kernel_gs_base", kernel_gs_base);
    visit("sysenter_cs", sysenter_cs), visit("sysenter_esp", sysenter_esp);
    visit("sysenter_eip", sysenter_eip), visit("tsc_aux", tsc_aux);
    visit("tsc_adjust", tsc_adjust), visit("pat", pat), visit("misc_enable", misc_enable);
    visit("mtrr_def_type", mtrr_def_type), visit("mtrr_fixed", mtrr_fixed);
    visit("mtrr_variable", mtrr_variable), visit("mcg_status", mcg_status);
    visit("mcg_ctl", mcg_ctl), visit("mc_banks", mc_banks), visit("spec_ctrl", spec_ctrl);
    visit("debug_ctl", debug_ctl), visit("xss", xss);
    visit("feature_control", feature_control), visit("smi_count", smi_count);
  }
};

/// The architectural state of one CPU: the only form in which it is saved, loaded, shown, compared
/// and handed from one engine to another. Constructed, it is the state after power-on reset.
/// SDM vol. 3A, table 9-1.
struct CpuState {
  std::array<std::uint64_t, 16> gpr{0, 0, 0x600};  // RDX: family 6; which CPU, a model knows
  std::uint64_t rip = 0xfff0;
  std::uint64_t rflags = rflags::kFixed1;

  std::array<Segment, kSegmentCount> segment{
      Segment{0, 0x93, 0xffff, 0}, Segment{0xf000, 0x9b, 0xffff, 0xffff0000},
      Segment{0, 0x93, 0xffff, 0}, Segment{0, 0x93, 0xffff, 0},
      Segment{0, 0x93, 0xffff, 0}, Segment{0, 0x93, 0xffff, 0}};
  Segment ldtr{0, 0x82, 0xffff, 0};
  Segment tr{0, 0x8b, 0xffff, 0};
  DescriptorTable gdtr{0xffff, 0};
  DescriptorTable idtr{0xffff, 0};

  std::uint64_t cr0 = 0x60000010;
  std::uint64_t cr2 = 0;
  std::uint64_t cr3 = 0;
  std::uint64_t cr4 = 0;
  std::uint64_t xcr0 = xcr0::kX87;
  std::array<std::uint64_t, 4> pdpte{};  ///< PAE paging loads these with CR3. SDM vol. 3A, 4.4.1
  std::array<std::uint64_t, 4> dr{};
  std::uint64_t dr6 = dr6::kFixed1;
  std::uint64_t dr7 = dr7::kFixed1;
  std::uint32_t pkru = 0;

  MsrState msr;
  FpuState fpu;
  /// Guest TSC = clock TSC + this.
  std::uint64_t tsc_offset = 0;

  // Interruptibility. SDM vol. 3C, table 24-3.
  std::uint8_t sti_shadow = 0;     ///< interrupts wait for one more instruction
  std::uint8_t mov_ss_shadow = 0;  ///< interrupts and debug exceptions wait for one more
  std::uint8_t nmi_blocked = 0;    ///< until IRET
  std::uint8_t nmi_pending = 0;    ///< how many wait: 0, 1 or 2
  std::uint8_t activity = static_cast<std::uint8_t>(Activity::kRunning);
  std::uint8_t ferr = 0;  ///< FERR# is asserted: see x86/delivery/numeric_error.h
  /// DR6 bits of debug traps held back by the MOV SS shadow. SDM vol. 3C, 24.4.2.
  std::uint64_t pending_debug = 0;

  // The privilege level is SS.DPL wherever SS is loaded with the level (SDM vol. 3A, 5.5).
  unsigned cpl() const { return segment[kSs].dpl(); }
  bool protected_mode() const { return (cr0 & cr0::kPe) != 0; }
  bool paging() const { return (cr0 & cr0::kPg) != 0; }
  bool virtual8086() const { return (rflags & rflags::kVm) != 0; }
  /// IA-32e mode is active; code is 64-bit or compatibility.
  bool long_mode() const { return (msr.efer & efer::kLma) != 0; }
  bool code64() const { return long_mode() && segment[kCs].is_long(); }

  bool operator==(const CpuState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [gpr, rip, flags, segment, ldtr, tr, gdtr, idtr, cr0, cr2, cr3, cr4, xcr0, pdpte, dr, dr6,
           dr7, pkru, msr, fpu, tsc_offset, sti_shadow, mov_ss_shadow, nmi_blocked, nmi_pending,
           activity, ferr, pending_debug] = self;
    visit("gpr", gpr), visit("rip", rip), visit("rflags", flags), visit("segment", segment);
    visit("ldtr", ldtr), visit("tr", tr), visit("gdtr", gdtr), visit("idtr", idtr);
    visit("cr0", cr0), visit("cr2", cr2), visit("cr3", cr3), visit("cr4", cr4);
    visit("xcr0", xcr0), visit("pdpte", pdpte), visit("dr", dr), visit("dr6", dr6);
    visit("dr7", dr7), visit("pkru", pkru), visit("msr", msr), visit("fpu", fpu);
    visit("tsc_offset", tsc_offset), visit("sti_shadow", sti_shadow);
    visit("mov_ss_shadow", mov_ss_shadow), visit("nmi_blocked", nmi_blocked);
    visit("nmi_pending", nmi_pending), visit("activity", activity);
    visit("ferr", ferr), visit("pending_debug", pending_debug);
  }
};

}  // namespace vireo::x86
