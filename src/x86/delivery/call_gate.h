#pragma once
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/delivery/descriptor.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// JMP and CALL through the call gate that `selector` names. SDM vol. 3A, 5.8.3-5.8.5. `gate` is a
/// call gate of the mode in force, with its upper half in IA-32e mode. On a fault nothing changes.
OrFault<> jump_through_gate(CpuState& state, CpuPort& port, std::uint16_t selector,
                            const Descriptor& gate);
OrFault<> call_through_gate(CpuState& state, CpuPort& port, std::uint16_t selector,
                            const Descriptor& gate);

}  // namespace vireo::x86
