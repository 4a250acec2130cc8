#include "x86/delivery/far_transfer.h"

#include <array>

#include "x86/delivery/call_gate.h"
#include "x86/delivery/interrupt_delivery.h"
#include "x86/delivery/segment_rules.h"
#include "x86/delivery/stack_access.h"
#include "x86/delivery/task_switch.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

struct FarPointer {
  std::uint16_t selector = 0;
  std::uint64_t offset = 0;
};

OrFault<FarPointer> read_target(const CpuState& state, CpuPort& port, const Insn& insn) {
  if (insn.operands[0].kind == OperandKind::kFar)
    return FarPointer{static_cast<std::uint16_t>(insn.immediate2),
                      insn.immediate & width_mask(insn.operand_width)};
  const unsigned width = insn.operand_width;
  const auto address = TRY(memory_address(state, insn, width + 2u, Use::kRead));
  std::array<std::byte, 10> bytes{};
  TRY(port.read(address, std::span(bytes).first(width + 2u), Privilege::kCurrent));
  FarPointer pointer;
  std::memcpy(&pointer.offset, bytes.data(), width);
  std::memcpy(&pointer.selector, &bytes[width], sizeof(pointer.selector));
  return pointer;
}

bool like_8086(const CpuState& state) { return !state.protected_mode() || state.virtual8086(); }

Segment segment_8086(const CpuState& state, std::uint16_t selector) {
  return state.virtual8086() ? virtual8086_segment(selector)
                             : real_mode_segment(state.segment[kCs], kCs, selector);
}

void commit(CpuState& state, CpuPort& port, const Segment& cs, std::uint64_t rip) {
  state.segment[kCs] = cs;
  state.rip = rip;
  port.mode_changed();
}

/// The code segment of a JMP or CALL without a gate; the CPL stays.
OrFault<Segment> direct_code_segment(const CpuState& state, CpuPort& port, std::uint16_t selector,
                                     Descriptor& code) {
  const Raise raise;
  const unsigned cpl = state.cpl(), rpl = selector & 3;
  if (!code.code() || reserved_code_size(state, code)) return raise.at(selector);
  if (code.conforming() ? code.dpl() > cpl : (rpl > cpl || code.dpl() != cpl))
    return raise.at(selector);
  if (!code.present()) return raise.not_present(selector);
  TRY(mark_accessed(port, code));
  return with_rpl(code.segment(selector), cpl);
}

OrFault<> switch_to(CpuState& state, CpuPort& port, std::uint16_t selector, const Descriptor& tss,
                    TaskSwitchCause cause) {
  const Raise raise;
  if ((selector & 4) || !tss.available_tss()) return raise.at(selector);
  if (!tss.present()) return raise.not_present(selector);
  const auto late =
      TRY(switch_task(state, port, selector, tss, cause, {Vector::kTS, false}, state.rflags));
  // The old task's instruction is over: the new one takes the fault.
  if (late) deliver_fault(state, port, *late);
  return Unit{};
}

OrFault<> transfer_to_task(CpuState& state, CpuPort& port, std::uint16_t selector,
                           const Descriptor& descriptor, TaskSwitchCause cause) {
  const Raise raise;
  const unsigned rpl = selector & 3;
  if (descriptor.dpl() < state.cpl() || rpl > descriptor.dpl()) return raise.at(selector);
  if (!descriptor.is(SystemType::kTaskGate))
    return switch_to(state, port, selector, descriptor, cause);
  if (!descriptor.present()) return raise.not_present(selector);
  const std::uint16_t target = descriptor.gate_selector();
  if (is_null(target)) return raise.at(target);
  return switch_to(state, port, target, TRY(read_descriptor(state, port, target, raise)), cause);
}

bool is_call_gate(const CpuState& state, const Descriptor& descriptor) {
  return descriptor.is(SystemType::kCallGate32) ||
         (!state.long_mode() && descriptor.is(SystemType::kCallGate16));
}
bool leads_to_task(const CpuState& state, const Descriptor& descriptor) {
  return !state.long_mode() && (descriptor.tss() || descriptor.is(SystemType::kTaskGate));
}

OrFault<> jump_far(CpuState& state, CpuPort& port, const Insn& insn) {
  const FarPointer target = TRY(read_target(state, port, insn));
  if (like_8086(state)) {
    if (target.offset > state.segment[kCs].limit) return general_protection();
    commit(state, port, segment_8086(state, target.selector), target.offset);
    return Unit{};
  }
  if (is_null(target.selector)) return general_protection();
  Descriptor descriptor = TRY(read_wide_descriptor(state, port, target.selector, Raise{}));
  if (is_call_gate(state, descriptor))
    return jump_through_gate(state, port, target.selector, descriptor);
  if (leads_to_task(state, descriptor))
    return transfer_to_task(state, port, target.selector, descriptor, TaskSwitchCause::kJump);
  const Segment cs = TRY(direct_code_segment(state, port, target.selector, descriptor));
  TRY(check_code_offset(state, cs, target.offset));
  commit(state, port, cs, target.offset);
  return Unit{};
}

OrFault<> call_direct(CpuState& state, CpuPort& port, unsigned width, const Segment& cs,
                      std::uint64_t rip) {
  StackAccess stack(state, port);
  TRY(stack.push(state.segment[kCs].selector, width));
  TRY(stack.push(state.rip, width));
  state.gpr[kRsp] = stack.rsp();
  commit(state, port, cs, rip);
  return Unit{};
}

OrFault<> call_far(CpuState& state, CpuPort& port, const Insn& insn) {
  const FarPointer target = TRY(read_target(state, port, insn));
  if (like_8086(state)) {
    if (target.offset > state.segment[kCs].limit) return general_protection();
    return call_direct(state, port, insn.operand_width, segment_8086(state, target.selector),
                       target.offset);
  }
  if (is_null(target.selector)) return general_protection();
  Descriptor descriptor = TRY(read_wide_descriptor(state, port, target.selector, Raise{}));
  if (is_call_gate(state, descriptor))
    return call_through_gate(state, port, target.selector, descriptor);
  if (leads_to_task(state, descriptor))
    return transfer_to_task(state, port, target.selector, descriptor, TaskSwitchCause::kCall);
  const Segment cs = TRY(direct_code_segment(state, port, target.selector, descriptor));
  TRY(check_code_offset(state, cs, target.offset));
  return call_direct(state, port, insn.operand_width, cs, target.offset);
}

OrFault<> return_far(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operand_width;
  const std::uint64_t parameters = insn.operand_count != 0 ? insn.immediate & 0xffff : 0;
  StackAccess stack(state, port);
  const std::uint64_t rip = TRY(stack.pop(width));
  const auto selector = static_cast<std::uint16_t>(TRY(stack.pop(width)));
  stack.release(parameters);
  if (like_8086(state)) {
    if (rip > state.segment[kCs].limit) return general_protection();
    state.gpr[kRsp] = stack.rsp();
    commit(state, port, segment_8086(state, selector), rip);
    return Unit{};
  }
  const Segment cs = TRY(return_code_segment(state, port, selector));
  if (cs.rpl() == state.cpl()) {
    TRY(check_code_offset(state, cs, rip));
    state.gpr[kRsp] = stack.rsp();
    commit(state, port, cs, rip);
    return Unit{};
  }
  const std::uint64_t outer_rsp = TRY(stack.pop(width));
  const auto ss_selector = static_cast<std::uint16_t>(TRY(stack.pop(width)));
  const Segment ss = TRY(return_stack_segment(state, port, ss_selector, cs));
  TRY(check_code_offset(state, cs, rip));
  state.gpr[kRsp] = stack.rsp();
  return_to_outer_level(state, cs, rip, ss, outer_rsp);
  StackAccess outer(state, port);
  outer.release(parameters);
  state.gpr[kRsp] = outer.rsp();
  drop_privileged_segments(state);
  port.mode_changed();
  return Unit{};
}

constexpr std::array kRows{
    HandlerRow{ZYDIS_MNEMONIC_JMP, jump_far},
    HandlerRow{ZYDIS_MNEMONIC_CALL, call_far},
    HandlerRow{ZYDIS_MNEMONIC_RET, return_far},
};

}  // namespace

void return_to_outer_level(CpuState& state, const Segment& cs, std::uint64_t rip, const Segment& ss,
                           std::uint64_t popped_rsp) {
  const bool only_sp = !is_code64(state, cs) && !ss.big();
  const std::uint64_t kept = only_sp ? state.gpr[kRsp] & 0xffff0000 : 0;
  state.gpr[kRsp] = only_sp ? kept | (popped_rsp & 0xffff) : popped_rsp;
  if (!is_code64(state, cs)) state.gpr[kRsp] &= 0xffffffff;
  state.segment[kCs] = cs;
  state.rip = rip;
  state.segment[kSs] = ss;
}

std::span<const HandlerRow> far_transfer_handlers() { return kRows; }

}  // namespace vireo::x86
