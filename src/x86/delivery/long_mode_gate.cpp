#include "x86/delivery/long_mode_gate.h"

#include <array>

#include "x86/delivery/descriptor.h"
#include "x86/delivery/interrupt_gate.h"
#include "x86/delivery/segment_rules.h"
#include "x86/delivery/task_state_segment.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

OrFault<Descriptor> read_gate(const CpuState& state, CpuPort& port, const Event& event) {
  const std::uint32_t error = idt_error(event.vector, event.external());
  const std::uint32_t offset = event.vector * 16u;
  if (offset + 15 > state.idtr.limit) return general_protection(error);
  Descriptor gate;
  gate.address = LinearAddr{state.idtr.base} + offset;
  const auto words =
      TRY((port.read<std::array<std::uint64_t, 2>>(gate.address, Privilege::kSupervisor)));
  gate.low = words[0];
  gate.high = words[1];
  if (!gate.is(SystemType::kInterruptGate32) && !gate.is(SystemType::kTrapGate32))
    return general_protection(error);
  if (event.software() && gate.dpl() < state.cpl()) return general_protection(error);
  if (!gate.present()) return fault(Vector::kNP, error);
  return gate;
}

OrFault<Segment> handler_code(const CpuState& state, CpuPort& port, std::uint16_t selector,
                              Raise raise) {
  if (is_null(selector)) return raise.at(0);
  Descriptor code = TRY(read_descriptor(state, port, selector, raise));
  if (!code.code() || code.dpl() > state.cpl() || !code.is_long() || code.big())
    return raise.at(selector);
  if (!code.present()) return raise.not_present(selector);
  TRY(mark_accessed(port, code));
  return with_rpl(code.segment(selector), code.conforming() ? state.cpl() : code.dpl());
}

/// All of the frame or nothing. The CPU pushes from the top, so that is where a fault shows first.
OrFault<> write_frame(CpuPort& port, LinearAddr rsp, std::span<const std::uint64_t> frame,
                      Privilege privilege) {
  const auto done = port.write(rsp, std::as_bytes(frame), privilege);
  for (std::size_t i = frame.size(); !done && i-- > 0;)
    TRY(port.check_write(rsp + i * 8, 8, privilege));
  return done;
}

}  // namespace

OrFault<> enter_long_mode_gate(CpuState& state, CpuPort& port, const Event& event) {
  const bool external = event.external();
  const Descriptor gate = TRY(read_gate(state, port, event));
  const Segment cs = TRY(handler_code(state, port, gate.gate_selector(), {Vector::kGP, external}));
  const unsigned new_cpl = cs.rpl();
  const bool inner = new_cpl < state.cpl();
  TRY(check_code_offset(state, cs, gate.gate_offset(), external));

  std::uint64_t rsp = state.gpr[kRsp];
  if (gate.ist() != 0)
    rsp = TRY(read_interrupt_stack(state, port, gate.ist(), external));
  else if (inner)
    rsp = TRY(read_inner_stack64(state, port, new_cpl, external));

  // From the lowest address: the error code, if there is one, and RIP, CS, RFLAGS, RSP, SS.
  const std::array<std::uint64_t, 6> frame{
      event.error_code.value_or(0), state.rip,       state.segment[kCs].selector,
      pushed_flags(state, event),   state.gpr[kRsp], state.segment[kSs].selector};
  const auto pushed = std::span(frame).subspan(event.error_code ? 0 : 1);
  rsp = (rsp & ~0xfull) - pushed.size_bytes();
  if (!canonical(state, rsp) || !canonical(state, rsp + pushed.size_bytes() - 1))
    return fault(Vector::kSS, external ? 1 : 0);
  TRY(write_frame(port, LinearAddr{rsp}, pushed,
                  inner ? Privilege::kSupervisor : Privilege::kCurrent));

  if (inner) state.segment[kSs] = null_segment(static_cast<std::uint16_t>(new_cpl), new_cpl);
  state.segment[kCs] = cs;
  state.rip = gate.gate_offset();
  state.gpr[kRsp] = rsp;
  state.rflags &= ~(rflags::kTf | rflags::kNt | rflags::kRf | rflags::kVm);
  if (gate.is(SystemType::kInterruptGate32)) state.rflags &= ~rflags::kIf;
  return Unit{};
}

}  // namespace vireo::x86
