#include "x86/delivery/interrupt_delivery.h"

#include <optional>

#include "x86/delivery/interrupt_gate.h"

namespace vireo::x86 {
namespace {

enum class FaultClass : std::uint8_t { kBenign, kContributory, kPageFault, kDoubleFault };

/// SDM vol. 3A, table 6-4.
FaultClass fault_class(const Event& event) {
  if (event.source != EventSource::kException) return FaultClass::kBenign;
  switch (static_cast<Vector>(event.vector)) {
    case Vector::kDE:
    case Vector::kTS:
    case Vector::kNP:
    case Vector::kSS:
    case Vector::kGP:
      return FaultClass::kContributory;
    case Vector::kPF:
      return FaultClass::kPageFault;
    case Vector::kDF:
      return FaultClass::kDoubleFault;
    default:
      return FaultClass::kBenign;
  }
}

/// What is delivered when `second` comes up in the delivery of `first`; nothing: shutdown.
/// SDM vol. 3A, table 6-5.
std::optional<Event> combine(const Event& first, const Event& second) {
  const FaultClass a = fault_class(first), b = fault_class(second);
  if (a == FaultClass::kBenign || b == FaultClass::kBenign) return second;
  if (a == FaultClass::kDoubleFault) return std::nullopt;
  if (a == FaultClass::kContributory && b == FaultClass::kPageFault) return second;
  return Event::exception({Vector::kDF});
}

/// The debug registers on the way into a #DB handler. SDM vol. 3B, 17.2.3, 17.2.4 and 17.4.
void enter_debug_handler(CpuState& state, std::uint64_t dr6) {
  constexpr std::uint64_t kBreakpoints = 0xf, kLbrAndBtf = 3;
  state.dr6 = (state.dr6 & ~kBreakpoints) | dr6;
  state.dr7 &= ~dr7::kGd;
  state.msr.debug_ctl &= ~kLbrAndBtf;
}

OrFault<std::optional<Fault>> attempt(CpuState& state, CpuPort& port, const Event& event) {
  auto late = TRY(enter_gate(state, port, event));
  state.sti_shadow = 0;
  state.mov_ss_shadow = 0;
  if (state.activity == static_cast<std::uint8_t>(Activity::kHalted))
    state.activity = static_cast<std::uint8_t>(Activity::kRunning);
  if (event.source == EventSource::kNmi) state.nmi_blocked = 1;
  if (event.source == EventSource::kException && event.vector == 1)
    enter_debug_handler(state, event.dr6);
  port.mode_changed();
  return late;
}

void note_page_fault(CpuState& state, const Fault& fault) {
  if (fault.vector == Vector::kPF) state.cr2 = fault.address;
}

DeliveryOutcome shut_down(CpuState& state) {
  state.activity = static_cast<std::uint8_t>(Activity::kShutdown);
  return DeliveryOutcome::kTripleFault;
}

/// Goes on with `fault`, which came up in the delivery of `event`.
DeliveryOutcome deliver_after(CpuState& state, CpuPort& port, Event event, Fault fault) {
  // Serious faults end in a shutdown after at most four; benign ones (#AC) could go on for ever.
  constexpr int kMostNested = 8;
  for (int i = 0; i < kMostNested; ++i) {
    note_page_fault(state, fault);
    const auto next = combine(event, Event::exception(fault));
    if (!next) return shut_down(state);
    event = *next;
    const auto late = attempt(state, port, event);
    if (late && !*late) return DeliveryOutcome::kDelivered;
    fault = late ? **late : late.error();
  }
  return shut_down(state);
}

}  // namespace

OrFault<> deliver_event(CpuState& state, CpuPort& port, const Event& event) {
  if (const auto late = TRY(attempt(state, port, event))) deliver_after(state, port, event, *late);
  return Unit{};
}

DeliveryOutcome deliver(CpuState& state, CpuPort& port, const Event& event) {
  const auto late = attempt(state, port, event);
  if (late && !*late) return DeliveryOutcome::kDelivered;
  return deliver_after(state, port, event, late ? **late : late.error());
}

DeliveryOutcome deliver_fault(CpuState& state, CpuPort& port, const Fault& fault,
                              bool was_external) {
  note_page_fault(state, fault);
  Event event = Event::exception(fault);
  const bool names_selector = fault_class(event) == FaultClass::kContributory;
  if (was_external && names_selector && event.error_code) *event.error_code |= 1;
  return deliver(state, port, event);
}

}  // namespace vireo::x86
