#pragma once
#include "x86/semantics/handler.h"

namespace vireo::engine {

// Vector instructions that touch memory element by element, so that only the elements that a mask
// selects can fault.

/// VPGATHERxx, VGATHERxPx: elements are gathered in order; a fault leaves those before it gathered
/// and their masks cleared, so that the instruction goes on where it stopped. SDM vol. 2C.
x86::OrFault<> gather(x86::CpuState& state, x86::CpuPort& port, const x86::Insn& insn);
/// VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ, loads and stores.
x86::OrFault<> masked_move(x86::CpuState& state, x86::CpuPort& port, const x86::Insn& insn);
/// (V)MASKMOVDQU, MASKMOVQ: bytes at DS:rDI.
x86::OrFault<> masked_store_bytes(x86::CpuState& state, x86::CpuPort& port, const x86::Insn& insn);

x86::OrFault<> vzeroupper(x86::CpuState& state, x86::CpuPort& port, const x86::Insn& insn);
x86::OrFault<> vzeroall(x86::CpuState& state, x86::CpuPort& port, const x86::Insn& insn);

}  // namespace vireo::engine
