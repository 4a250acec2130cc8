#pragma once
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/delivery/event.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// Enters the handler of an event in IA-32e mode, always 64-bit code. On a fault nothing has
/// changed. SDM vol. 3A, 6.14.
OrFault<> enter_long_mode_gate(CpuState& state, CpuPort& port, const Event& event);

}  // namespace vireo::x86
