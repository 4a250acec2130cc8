#include "x86/semantics/flags_transfer.h"

#include <array>

#include "x86/delivery/interrupt_delivery.h"
#include "x86/delivery/stack_access.h"
#include "x86/delivery/task_state_segment.h"
#include "x86/delivery/virtual_interrupts.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

using rflags::kAc, rflags::kIf, rflags::kRf, rflags::kVif, rflags::kVip, rflags::kVm;

/// Virtual-8086 code that the monitor has not given control of IF to.
bool virtualized(const CpuState& state) { return state.virtual8086() && iopl(state) < 3; }
bool has_vme(const CpuState& state) { return (state.cr4 & cr4::kVme) != 0; }

OrFault<> push_flags(CpuState& state, CpuPort& port, unsigned width) {
  if (!virtualized(state)) return push(state, port, state.rflags & ~(kVm | kRf), width);
  if (!has_vme(state) || width != 2) return general_protection();
  return push(state, port, virtual_flags_image(state), width);
}

/// Which flags POPF changes outside virtual-8086 mode with IOPL below 3. RF is cleared besides.
std::uint64_t writable_flags(const CpuState& state, unsigned width) {
  std::uint64_t mask = rflags::kArithmetic | rflags::kTf | rflags::kDf | rflags::kNt;
  if (width >= 4) mask |= kAc | rflags::kId;
  if (!state.protected_mode()) return mask | kIf | rflags::kIopl;
  if (state.cpl() <= iopl(state)) mask |= kIf;
  if (state.cpl() == 0) mask |= rflags::kIopl;
  return mask;
}

OrFault<> pop_flags(CpuState& state, CpuPort& port, unsigned width) {
  const bool redirect = virtualized(state);
  if (redirect && (!has_vme(state) || width != 2)) return general_protection();
  StackAccess stack(state, port);
  const std::uint64_t image = TRY(stack.pop(width));
  const std::uint64_t old = state.rflags;
  if (redirect) {
    state.rflags = TRY(pop_virtual_flags(state, image));
  } else {
    const std::uint64_t mask = writable_flags(state, width);
    state.rflags = (old & ~(mask | kRf)) | (image & mask);
  }
  state.gpr[kRsp] = stack.rsp();
  if ((old ^ state.rflags) & kAc) port.mode_changed();
  return Unit{};
}

template <unsigned width>
OrFault<> pushf(CpuState& state, CpuPort& port, const Insn&) {
  return push_flags(state, port, width);
}
template <unsigned width>
OrFault<> popf(CpuState& state, CpuPort& port, const Insn&) {
  return pop_flags(state, port, width);
}

/// Which flag CLI and STI are about: IF, or VIF where interrupts are virtual; else #GP(0).
OrFault<std::uint64_t> interrupt_flag(const CpuState& state) {
  if (!state.protected_mode() || state.cpl() <= iopl(state)) return +kIf;
  const bool is_virtual =
      state.virtual8086() ? has_vme(state) : state.cpl() == 3 && (state.cr4 & cr4::kPvi) != 0;
  if (!is_virtual) return general_protection();
  return +kVif;
}

OrFault<> cli(CpuState& state, CpuPort&, const Insn&) {
  state.rflags &= ~TRY(interrupt_flag(state));
  return Unit{};
}

OrFault<> sti(CpuState& state, CpuPort&, const Insn&) {
  const std::uint64_t flag = TRY(interrupt_flag(state));
  if (flag == kVif && (state.rflags & kVip)) return general_protection();
  if (flag == kIf && (state.rflags & kIf) == 0) state.sti_shadow = 1;
  state.rflags |= flag;
  return Unit{};
}

OrFault<> int_n(CpuState& state, CpuPort& port, const Insn& insn) {
  return deliver_event(state, port,
                       Event::software_interrupt(static_cast<std::uint8_t>(insn.immediate)));
}

OrFault<> int3(CpuState& state, CpuPort& port, const Insn&) {
  return deliver_event(state, port, {3, EventSource::kSoftwareException, {}, 0});
}

OrFault<> into(CpuState& state, CpuPort& port, const Insn&) {
  if (state.code64()) return undefined_opcode();
  if ((state.rflags & rflags::kOf) == 0) return Unit{};
  return deliver_event(state, port, {4, EventSource::kSoftwareException, {}, 0});
}

OrFault<> int1(CpuState& state, CpuPort& port, const Insn&) {
  // One #DB tells of everything: what MOV SS held back comes with it.
  TRY(deliver_event(state, port, {1, EventSource::kIcebp, {}, state.pending_debug}));
  state.pending_debug = 0;
  return Unit{};
}

constexpr std::array kRows{
    HandlerRow{ZYDIS_MNEMONIC_PUSHF, pushf<2>},  HandlerRow{ZYDIS_MNEMONIC_PUSHFD, pushf<4>},
    HandlerRow{ZYDIS_MNEMONIC_PUSHFQ, pushf<8>}, HandlerRow{ZYDIS_MNEMONIC_POPF, popf<2>},
    HandlerRow{ZYDIS_MNEMONIC_POPFD, popf<4>},   HandlerRow{ZYDIS_MNEMONIC_POPFQ, popf<8>},
    HandlerRow{ZYDIS_MNEMONIC_CLI, cli},         HandlerRow{ZYDIS_MNEMONIC_STI, sti},
    HandlerRow{ZYDIS_MNEMONIC_INT, int_n},       HandlerRow{ZYDIS_MNEMONIC_INT3, int3},
    HandlerRow{ZYDIS_MNEMONIC_INTO, into},       HandlerRow{ZYDIS_MNEMONIC_INT1, int1},
};

}  // namespace

std::span<const HandlerRow> flags_transfer_handlers() { return kRows; }

OrFault<> check_io_permission(const CpuState& state, CpuPort& port, std::uint16_t io_port,
                              unsigned width) {
  if (!state.protected_mode()) return Unit{};
  if (!state.virtual8086() && state.cpl() <= iopl(state)) return Unit{};
  if (!TRY(io_bitmap_allows(state, port, io_port, width))) return general_protection();
  return Unit{};
}

}  // namespace vireo::x86
