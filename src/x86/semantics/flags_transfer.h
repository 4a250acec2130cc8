#pragma once
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// PUSHF, POPF, CLI and STI with the rules of IOPL, virtual-8086 mode and virtual interrupts, and
/// INT n, INT3, INTO and INT1, which deliver the event themselves. SDM vol. 3B, chapter 20.
/// An INT that ends in a task switch may leave CpuState::activity at Activity::kShutdown.
std::span<const HandlerRow> flags_transfer_handlers();

/// Whether IN, OUT, INS and OUTS of `width` bytes may access the port: IOPL, else the I/O
/// permission bitmap of the TSS; #GP(0). SDM vol. 1, 18.5.
OrFault<> check_io_permission(const CpuState& state, CpuPort& port, std::uint16_t io_port,
                              unsigned width);

}  // namespace vireo::x86
