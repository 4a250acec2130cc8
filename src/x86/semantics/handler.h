#pragma once
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/decode/insn.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// The semantics of one instruction, as every engine can call it.
///
/// On entry RIP already points to the next instruction and RFLAGS is whole. The handler changes
/// `state` and memory as the instruction does; a branch writes RIP. When it answers with a fault it
/// has changed nothing that the fault does not (the caller puts RIP back), save for accessed and
/// dirty bits. A trap after the instruction (#DB by task switch) is reported through
/// CpuState::pending_debug instead.
using Handler = OrFault<> (*)(CpuState& state, CpuPort& port, const Insn& insn);

/// One row of a table of handlers: which mnemonic the handler executes.
struct HandlerRow {
  Mnemonic mnemonic;
  Handler handler;
};

}  // namespace vireo::x86
