#pragma once
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/fault.h"

namespace vireo::x86 {

// What the processor reads from the current TSS outside of task switches. SDM vol. 3A, 7.2, 7.7.

struct StackPointer {
  std::uint16_t selector = 0;
  std::uint64_t offset = 0;
};

/// SSn:ESPn of a 16- or 32-bit TSS; #TS(TR) with EXT if it is behind the TSS's limit.
OrFault<StackPointer> read_inner_stack(const CpuState& state, CpuPort& port, unsigned cpl,
                                       bool external);
/// RSPn of a 64-bit TSS.
OrFault<std::uint64_t> read_inner_stack64(const CpuState& state, CpuPort& port, unsigned cpl,
                                          bool external);
/// IST1-IST7 of a 64-bit TSS.
OrFault<std::uint64_t> read_interrupt_stack(const CpuState& state, CpuPort& port, unsigned ist,
                                            bool external);

/// One bit of the software-interrupt redirection bitmap, the 32 bytes before the I/O permission
/// bitmap: true means the protected-mode handler. #GP(0) if it is behind the limit.
/// SDM vol. 3B, 20.3.3.
OrFault<bool> read_redirection_bit(const CpuState& state, CpuPort& port, std::uint8_t vector);

/// Whether the I/O permission bitmap lets `width` bytes at the port through. SDM vol. 1, 18.5.2.
OrFault<bool> io_bitmap_allows(const CpuState& state, CpuPort& port, std::uint16_t io_port,
                               unsigned width);

}  // namespace vireo::x86
