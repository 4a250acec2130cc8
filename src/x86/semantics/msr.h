#pragma once
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// What RDMSR reads, after the privilege check; #GP(0) if the CPU model has no such MSR.
/// SDM vol. 4; AMD APM vol. 2, appendix A.
OrFault<std::uint64_t> read_msr(CpuState& state, CpuPort& port, std::uint32_t index);
/// What WRMSR does; #GP(0) also for a value that the MSR cannot hold.
OrFault<> write_msr(CpuState& state, CpuPort& port, std::uint32_t index, std::uint64_t value);

}  // namespace vireo::x86
