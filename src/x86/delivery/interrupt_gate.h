#pragma once
#include <optional>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/delivery/event.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// Takes the CPU through the gate of an event, once, in whatever mode it is. SDM vol. 2A, INT n.
///
/// A fault as the outer answer means that nothing has changed. Through a task gate the task switch
/// may have happened and the new task begin with a fault: that one is the inner answer.
OrFault<std::optional<Fault>> enter_gate(CpuState& state, CpuPort& port, const Event& event);

/// The RFLAGS image that the event pushes.
std::uint64_t pushed_flags(const CpuState& state, const Event& event);

}  // namespace vireo::x86
