#include "x86/delivery/interrupt_gate.h"

#include "x86/delivery/descriptor.h"
#include "x86/delivery/long_mode_gate.h"
#include "x86/delivery/segment_rules.h"
#include "x86/delivery/stack_access.h"
#include "x86/delivery/task_state_segment.h"
#include "x86/delivery/task_switch.h"
#include "x86/delivery/virtual_interrupts.h"

namespace vireo::x86 {
namespace {

using LateFault = std::optional<Fault>;

/// Faults that restart their instruction, so that RF keeps its breakpoint from hitting again.
bool is_fault_class(const Event& event) {
  if (event.source != EventSource::kException) return false;
  switch (static_cast<Vector>(event.vector)) {
    case Vector::kDB:
      return (event.dr6 & dr6::kBd) != 0;  // other #DB are traps, or instruction breakpoints
    case Vector::kNMI:
    case Vector::kBP:
    case Vector::kOF:
    case Vector::kDF:
    case Vector::kMC:
      return false;
    default:
      return true;
  }
}

/// INT in real-address mode, and in virtual-8086 mode when it is redirected to the 8086 program:
/// the vector is an IP and a CS.
OrFault<> push_8086_frame(CpuState& state, CpuPort& port, std::uint32_t vector, std::uint64_t flags,
                          std::uint64_t cleared_flags) {
  StackAccess stack(state, port);
  TRY(stack.push(flags, 2));
  TRY(stack.push(state.segment[kCs].selector, 2));
  TRY(stack.push(state.rip, 2));
  const auto selector = static_cast<std::uint16_t>(vector >> 16);
  Segment& cs = state.segment[kCs];
  cs = state.virtual8086() ? virtual8086_segment(selector) : real_mode_segment(cs, kCs, selector);
  state.rip = vector & 0xffff;
  state.gpr[kRsp] = stack.rsp();
  state.rflags &= ~cleared_flags;
  return Unit{};
}

OrFault<LateFault> real_mode_interrupt(CpuState& state, CpuPort& port, const Event& event) {
  const std::uint32_t offset = event.vector * 4u;
  if (offset + 3 > state.idtr.limit)
    return general_protection(idt_error(event.vector, event.external()));
  const auto vector = TRY(port.read<std::uint32_t>(table_address(state, state.idtr.base, offset),
                                                   Privilege::kSupervisor));
  TRY(push_8086_frame(state, port, vector, pushed_flags(state, event),
                      rflags::kIf | rflags::kTf | rflags::kAc | rflags::kRf));
  return LateFault{};
}

/// SDM vol. 3B, 20.3.3: methods 5 and 6. The vector is in the program's own table at linear 0.
OrFault<LateFault> redirected_interrupt(CpuState& state, CpuPort& port, const Event& event) {
  const auto vector =
      TRY(port.read<std::uint32_t>(LinearAddr{event.vector * 4u}, Privilege::kCurrent));
  const bool virtual_if = iopl(state) < 3;
  const std::uint64_t flags = virtual_if ? virtual_flags_image(state) : state.rflags;
  TRY(push_8086_frame(state, port, vector, flags,
                      rflags::kTf | rflags::kRf | (virtual_if ? rflags::kVif : rflags::kIf)));
  return LateFault{};
}

OrFault<LateFault> enter_task(CpuState& state, CpuPort& port, const Event& event,
                              const Descriptor& gate) {
  const Raise raise{Vector::kGP, event.external()};
  const std::uint16_t selector = gate.gate_selector();
  if (selector & 4) return raise.at(selector);
  Descriptor tss = TRY(read_descriptor(state, port, selector, raise));
  if (!tss.available_tss()) return raise.at(selector);
  if (!tss.present()) return raise.not_present(selector);
  auto late = TRY(switch_task(state, port, selector, tss, TaskSwitchCause::kEvent,
                              {Vector::kTS, event.external()}, pushed_flags(state, event)));
  if (late || !event.error_code) return late;
  StackAccess stack(state, port);
  const auto pushed = stack.push(*event.error_code, tss.type() & 8 ? 4 : 2);
  if (!pushed) return LateFault{pushed.error()};
  state.gpr[kRsp] = stack.rsp();
  return LateFault{};
}

/// What a handler in protected mode is entered with.
struct Target {
  Segment cs;
  std::uint64_t rip = 0;
  unsigned width = 4;  ///< of what is pushed
  bool masks_interrupts = false;
};

OrFault<> push_return_frame(StackAccess& stack, const CpuState& state, const Event& event,
                            unsigned width) {
  TRY(stack.push(pushed_flags(state, event), width));
  TRY(stack.push(state.segment[kCs].selector, width));
  TRY(stack.push(state.rip, width));
  if (event.error_code) TRY(stack.push(*event.error_code, width));
  return Unit{};
}

void begin_handler(CpuState& state, const Target& target, std::uint64_t rsp) {
  state.segment[kCs] = target.cs;
  state.rip = target.rip;
  state.gpr[kRsp] = rsp;
  state.rflags &= ~(rflags::kTf | rflags::kNt | rflags::kRf | rflags::kVm);
  if (target.masks_interrupts) state.rflags &= ~rflags::kIf;
}

OrFault<> enter_same_level(CpuState& state, CpuPort& port, const Event& event,
                           const Target& target) {
  StackAccess stack(state, port);
  TRY(push_return_frame(stack, state, event, target.width));
  begin_handler(state, target, stack.rsp());
  return Unit{};
}

OrFault<> enter_inner_level(CpuState& state, CpuPort& port, const Event& event,
                            const Target& target) {
  const unsigned new_cpl = target.cs.rpl();
  const bool external = event.external();
  const StackPointer inner = TRY(read_inner_stack(state, port, new_cpl, external));
  const Segment ss =
      TRY(stack_segment(state, port, inner.selector, new_cpl, {Vector::kTS, external}));
  StackAccess stack(state, port, ss, inner.offset, StackMode::kSegmented, Privilege::kSupervisor,
                    selector_error(inner.selector, external));
  if (state.virtual8086())
    for (const SegmentIndex index : {kGs, kFs, kDs, kEs})
      TRY(stack.push(state.segment[index].selector, target.width));
  TRY(stack.push(state.segment[kSs].selector, target.width));
  TRY(stack.push(state.gpr[kRsp], target.width));
  TRY(push_return_frame(stack, state, event, target.width));
  if (state.virtual8086())
    for (const SegmentIndex index : {kGs, kFs, kDs, kEs}) state.segment[index] = null_segment(0);
  state.segment[kSs] = ss;
  begin_handler(state, target, stack.rsp());
  return Unit{};
}

OrFault<> enter_handler(CpuState& state, CpuPort& port, const Event& event,
                        const Descriptor& gate) {
  const bool external = event.external();
  const Raise raise{Vector::kGP, external};
  const std::uint16_t selector = gate.gate_selector();
  if (is_null(selector)) return raise.at(0);
  Descriptor code = TRY(read_descriptor(state, port, selector, raise));
  if (!code.code() || code.dpl() > state.cpl()) return raise.at(selector);
  if (!code.present()) return raise.not_present(selector);
  const bool inner = !code.conforming() && code.dpl() < state.cpl();
  if (state.virtual8086() && (!inner || code.dpl() != 0)) return raise.at(selector);
  TRY(mark_accessed(port, code));

  Target target;
  target.cs = with_rpl(code.segment(selector), inner ? code.dpl() : state.cpl());
  target.rip = gate.gate_offset();
  target.width = gate.wide_gate() ? 4 : 2;
  target.masks_interrupts =
      gate.is(SystemType::kInterruptGate16) || gate.is(SystemType::kInterruptGate32);
  TRY(check_code_offset(state, target.cs, target.rip, external));
  return inner ? enter_inner_level(state, port, event, target)
               : enter_same_level(state, port, event, target);
}

bool is_interrupt_or_trap_gate(const Descriptor& gate) {
  return gate.is(SystemType::kInterruptGate16) || gate.is(SystemType::kInterruptGate32) ||
         gate.is(SystemType::kTrapGate16) || gate.is(SystemType::kTrapGate32);
}

OrFault<LateFault> protected_mode_interrupt(CpuState& state, CpuPort& port, const Event& event) {
  const std::uint32_t error = idt_error(event.vector, event.external());
  const std::uint32_t offset = event.vector * 8u;
  if (offset + 7 > state.idtr.limit) return general_protection(error);
  Descriptor gate;
  gate.address = table_address(state, state.idtr.base, offset);
  gate.low = TRY(port.read<std::uint64_t>(gate.address, Privilege::kSupervisor));
  const bool task = gate.is(SystemType::kTaskGate);
  if (!task && !is_interrupt_or_trap_gate(gate)) return general_protection(error);
  if (event.software() && gate.dpl() < state.cpl()) return general_protection(error);
  if (!gate.present()) return fault(Vector::kNP, error);
  if (task) return enter_task(state, port, event, gate);
  TRY(enter_handler(state, port, event, gate));
  return LateFault{};
}

}  // namespace

std::uint64_t pushed_flags(const CpuState& state, const Event& event) {
  return state.rflags | (is_fault_class(event) ? rflags::kRf : 0);
}

OrFault<LateFault> enter_gate(CpuState& state, CpuPort& port, const Event& event) {
  if (!state.protected_mode()) return real_mode_interrupt(state, port, event);
  if (state.virtual8086() && event.source == EventSource::kSoftwareInterrupt) {
    if (TRY(is_redirected(state, port, event.vector)))
      return redirected_interrupt(state, port, event);
    if (iopl(state) < 3) return general_protection();
  }
  if (!state.long_mode()) return protected_mode_interrupt(state, port, event);
  TRY(enter_long_mode_gate(state, port, event));
  return LateFault{};
}

}  // namespace vireo::x86
