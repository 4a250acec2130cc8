#pragma once
#include "x86/cpu_state.h"

namespace vireo::machine {

/// Sets the memory-type range registers as a PC's firmware leaves them on every CPU: memory is
/// write-back, the video window and the hole for devices below 4 GiB uncached, the firmware area
/// write-protected. SDM vol. 3A, 11.11.
void set_memory_types(x86::MsrState& msr, unsigned physical_address_bits);

}  // namespace vireo::machine
