#include "x86/delivery/iret.h"

#include <array>

#include "x86/delivery/far_transfer.h"
#include "x86/delivery/interrupt_delivery.h"
#include "x86/delivery/segment_rules.h"
#include "x86/delivery/stack_access.h"
#include "x86/delivery/task_switch.h"
#include "x86/delivery/virtual_interrupts.h"
#include "x86/semantics/serializing.h"

namespace vireo::x86 {
namespace {

using rflags::kAc, rflags::kArithmetic, rflags::kDf, rflags::kId, rflags::kIf, rflags::kIopl,
    rflags::kNt, rflags::kRf, rflags::kTf, rflags::kVif, rflags::kVip;

constexpr std::uint64_t kAnyLevel = kArithmetic | kTf | kDf | kNt;
constexpr std::uint64_t kAnyLevelWide = kRf | kAc | kId;  // in an image of 32 bits or more

void write_flags(CpuState& state, std::uint64_t image, std::uint64_t mask) {
  state.rflags = (state.rflags & ~mask) | (image & mask) | rflags::kFixed1;
}

/// Which flags IRET changes at this CPL and IOPL. SDM vol. 2A, IRET.
std::uint64_t writable_flags(const CpuState& state, unsigned width) {
  std::uint64_t mask = kAnyLevel | (width >= 4 ? kAnyLevelWide : 0);
  if (state.cpl() <= iopl(state)) mask |= kIf;
  if (state.cpl() == 0) mask |= kIopl | (width >= 4 ? kVif | kVip : 0);
  return mask;
}

struct Frame {
  std::uint64_t rip = 0;
  std::uint16_t cs = 0;
  std::uint64_t flags = 0;
};

OrFault<Frame> pop_frame(StackAccess& stack, unsigned width) {
  Frame frame;
  frame.rip = TRY(stack.pop(width));
  frame.cs = static_cast<std::uint16_t>(TRY(stack.pop(width)));
  frame.flags = TRY(stack.pop(width));
  return frame;
}

OrFault<> real_mode_return(CpuState& state, CpuPort& port, unsigned width) {
  StackAccess stack(state, port);
  const Frame frame = TRY(pop_frame(stack, width));
  if (frame.rip > state.segment[kCs].limit) return general_protection();
  state.segment[kCs] = real_mode_segment(state.segment[kCs], kCs, frame.cs);
  state.rip = frame.rip;
  state.gpr[kRsp] = stack.rsp();
  write_flags(state, frame.flags,
              kAnyLevel | kIf | kIopl | (width >= 4 ? kAnyLevelWide : std::uint64_t{0}));
  return Unit{};
}

OrFault<> virtual8086_return(CpuState& state, CpuPort& port, unsigned width) {
  const bool virtual_if = iopl(state) < 3;
  if (virtual_if && ((state.cr4 & cr4::kVme) == 0 || width != 2)) return general_protection();
  StackAccess stack(state, port);
  const Frame frame = TRY(pop_frame(stack, width));
  if (frame.rip > state.segment[kCs].limit) return general_protection();
  if (virtual_if)
    state.rflags = TRY(pop_virtual_flags(state, frame.flags));
  else
    write_flags(state, frame.flags,
                kAnyLevel | kIf | (width >= 4 ? kAnyLevelWide : std::uint64_t{0}));
  state.segment[kCs] = virtual8086_segment(frame.cs);
  state.rip = frame.rip;
  state.gpr[kRsp] = stack.rsp();
  return Unit{};
}

OrFault<> return_to_virtual8086(CpuState& state, StackAccess& stack, const Frame& frame) {
  const std::uint64_t esp = TRY(stack.pop(4));
  std::array<std::uint16_t, kSegmentCount> selector{};
  selector[kCs] = frame.cs;
  for (const SegmentIndex index : {kSs, kEs, kDs, kFs, kGs})
    selector[index] = static_cast<std::uint16_t>(TRY(stack.pop(4)));
  if (frame.rip > 0xffff) return general_protection();
  for (std::size_t i = 0; i < selector.size(); ++i)
    state.segment[i] = virtual8086_segment(selector[i]);
  state.rip = frame.rip;
  state.gpr[kRsp] = esp;
  state.rflags = (frame.flags & rflags::kAll) | rflags::kFixed1;
  return Unit{};
}

OrFault<> return_to_previous_task(CpuState& state, CpuPort& port) {
  if (state.long_mode()) return general_protection();
  const Raise raise{Vector::kTS, false};
  const auto link =
      TRY(port.read<std::uint16_t>(table_address(state, state.tr.base, 0), Privilege::kSupervisor));
  if ((link & 4) || is_null(link)) return raise.at(link);
  const Descriptor tss = TRY(read_descriptor(state, port, link, raise));
  if (!tss.busy_tss()) return raise.at(link);
  if (!tss.present()) return raise.not_present(link);
  const auto late =
      TRY(switch_task(state, port, link, tss, TaskSwitchCause::kReturn, raise, state.rflags));
  // The old task's instruction is over: the new one takes the fault.
  if (late) deliver_fault(state, port, *late);
  return Unit{};
}

OrFault<> protected_mode_return(CpuState& state, CpuPort& port, unsigned width) {
  StackAccess stack(state, port);
  const Frame frame = TRY(pop_frame(stack, width));
  if ((frame.flags & rflags::kVm) && width == 4 && state.cpl() == 0 && !state.long_mode())
    return return_to_virtual8086(state, stack, frame);
  const Segment cs = TRY(return_code_segment(state, port, frame.cs));
  const std::uint64_t writable = writable_flags(state, width);
  const bool outer = cs.rpl() > state.cpl();
  if (!outer && !state.code64()) {
    TRY(check_code_offset(state, cs, frame.rip));
    state.segment[kCs] = cs;
    state.rip = frame.rip;
    state.gpr[kRsp] = stack.rsp();
    write_flags(state, frame.flags, writable);
    return Unit{};
  }
  const std::uint64_t rsp = TRY(stack.pop(width));
  const auto ss_selector = static_cast<std::uint16_t>(TRY(stack.pop(width)));
  const Segment ss = TRY(return_stack_segment(state, port, ss_selector, cs));
  TRY(check_code_offset(state, cs, frame.rip));
  return_to_outer_level(state, cs, frame.rip, ss, rsp);
  write_flags(state, frame.flags, writable);
  if (outer) drop_privileged_segments(state);
  return Unit{};
}

OrFault<> interrupt_return(CpuState& state, CpuPort& port, unsigned width) {
  if (state.nmi_blocked != 0) port.latch_nmis();
  state.nmi_blocked = 0;
  if (!state.protected_mode())
    TRY(real_mode_return(state, port, width));
  else if (state.virtual8086())
    TRY(virtual8086_return(state, port, width));
  else if (state.rflags & kNt)
    TRY(return_to_previous_task(state, port));
  else
    TRY(protected_mode_return(state, port, width));
  port.mode_changed();
  return Unit{};
}

template <unsigned width>
OrFault<> iret(CpuState& state, CpuPort& port, const Insn&) {
  return interrupt_return(state, port, width);
}

constexpr std::array kRows{
    HandlerRow{ZYDIS_MNEMONIC_IRET, serializing<iret<2>>},
    HandlerRow{ZYDIS_MNEMONIC_IRETD, serializing<iret<4>>},
    HandlerRow{ZYDIS_MNEMONIC_IRETQ, serializing<iret<8>>},
};

}  // namespace

std::span<const HandlerRow> iret_handlers() { return kRows; }

}  // namespace vireo::x86
