#include "x86/delivery/call_gate.h"

#include "x86/delivery/segment_rules.h"
#include "x86/delivery/stack_access.h"
#include "x86/delivery/task_state_segment.h"

namespace vireo::x86 {
namespace {

struct Target {
  Segment cs;  ///< its RPL is the new CPL
  std::uint64_t rip = 0;
};

/// The code that the gate leads to, before anything that depends on JMP or CALL.
OrFault<Descriptor> read_target(const CpuState& state, CpuPort& port, std::uint16_t selector,
                                const Descriptor& gate) {
  const Raise raise;
  const unsigned rpl = selector & 3;
  if (gate.dpl() < state.cpl() || rpl > gate.dpl()) return raise.at(selector);
  if (!gate.present()) return raise.not_present(selector);
  const std::uint16_t target = gate.gate_selector();
  if (is_null(target)) return raise.at(0);
  const Descriptor code = TRY(read_descriptor(state, port, target, raise));
  if (!code.code() || code.dpl() > state.cpl()) return raise.at(target);
  if (state.long_mode() && (!code.is_long() || code.big())) return raise.at(target);
  return code;
}

OrFault<Target> load_target(const CpuState& state, CpuPort& port, const Descriptor& gate,
                            Descriptor& code, unsigned new_cpl) {
  if (!code.present()) return Raise{}.not_present(gate.gate_selector());
  TRY(mark_accessed(port, code));
  const Target target{with_rpl(code.segment(gate.gate_selector()), new_cpl), gate.gate_offset()};
  TRY(check_code_offset(state, target.cs, target.rip));
  return target;
}

OrFault<> push_return_address(StackAccess& stack, const CpuState& state, unsigned width) {
  TRY(stack.push(state.segment[kCs].selector, width));
  TRY(stack.push(state.rip, width));
  return Unit{};
}

void commit(CpuState& state, CpuPort& port, const Target& target) {
  state.segment[kCs] = target.cs;
  state.rip = target.rip;
  port.mode_changed();
}

unsigned gate_width(const CpuState& state, const Descriptor& gate) {
  if (state.long_mode()) return 8;
  return gate.wide_gate() ? 4 : 2;
}

OrFault<> call_same_level(CpuState& state, CpuPort& port, const Target& target, unsigned width) {
  StackAccess stack(state, port, state.segment[kSs], state.gpr[kRsp], stack_mode(state, target.cs),
                    Privilege::kCurrent, 0);
  TRY(push_return_address(stack, state, width));
  state.gpr[kRsp] = stack.rsp();
  commit(state, port, target);
  return Unit{};
}

OrFault<> call_inner_level64(CpuState& state, CpuPort& port, const Target& target) {
  const unsigned cpl = target.cs.rpl();
  const std::uint64_t rsp = TRY(read_inner_stack64(state, port, cpl, false));
  const Segment ss = null_segment(static_cast<std::uint16_t>(cpl), cpl);
  StackAccess stack(state, port, ss, rsp, StackMode::kFlat64, Privilege::kSupervisor, 0);
  TRY(stack.push(state.segment[kSs].selector, 8));
  TRY(stack.push(state.gpr[kRsp], 8));
  TRY(push_return_address(stack, state, 8));
  state.segment[kSs] = ss;
  state.gpr[kRsp] = stack.rsp();
  commit(state, port, target);
  return Unit{};
}

OrFault<> call_inner_level(CpuState& state, CpuPort& port, const Target& target, unsigned width,
                           unsigned parameters) {
  const unsigned cpl = target.cs.rpl();
  const StackPointer inner = TRY(read_inner_stack(state, port, cpl, false));
  const Segment ss = TRY(stack_segment(state, port, inner.selector, cpl, {Vector::kTS, false}));
  StackAccess caller(state, port);
  StackAccess stack(state, port, ss, inner.offset, StackMode::kSegmented, Privilege::kSupervisor,
                    selector_error(inner.selector));
  TRY(stack.push(state.segment[kSs].selector, width));
  TRY(stack.push(state.gpr[kRsp], width));
  for (unsigned i = parameters; i-- > 0;) {
    const std::uint64_t parameter = TRY(caller.peek(std::uint64_t{i} * width, width));
    TRY(stack.push(parameter, width));
  }
  TRY(push_return_address(stack, state, width));
  state.segment[kSs] = ss;
  state.gpr[kRsp] = stack.rsp();
  commit(state, port, target);
  return Unit{};
}

}  // namespace

OrFault<> jump_through_gate(CpuState& state, CpuPort& port, std::uint16_t selector,
                            const Descriptor& gate) {
  Descriptor code = TRY(read_target(state, port, selector, gate));
  if (!code.conforming() && code.dpl() != state.cpl()) return Raise{}.at(gate.gate_selector());
  commit(state, port, TRY(load_target(state, port, gate, code, state.cpl())));
  return Unit{};
}

OrFault<> call_through_gate(CpuState& state, CpuPort& port, std::uint16_t selector,
                            const Descriptor& gate) {
  Descriptor code = TRY(read_target(state, port, selector, gate));
  const unsigned cpl = code.conforming() ? state.cpl() : code.dpl();
  const Target target = TRY(load_target(state, port, gate, code, cpl));
  const unsigned width = gate_width(state, gate);
  if (cpl == state.cpl()) return call_same_level(state, port, target, width);
  if (state.long_mode()) return call_inner_level64(state, port, target);
  return call_inner_level(state, port, target, width, gate.parameter_count());
}

}  // namespace vireo::x86
