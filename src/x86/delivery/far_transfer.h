#pragma once
#include <span>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// JMP, CALL and RET for instructions whose Insn::far is set: direct, through call gates and, for
/// JMP and CALL, to another task. SDM vol. 3A, 5.8 and 7.3; vol. 2A, CALL and JMP; vol. 2B, RET.
std::span<const HandlerRow> far_transfer_handlers();

/// The pieces of a return to an outer privilege level that RET and IRET share: changes CS, SS, RSP,
/// RIP and the CPL. `popped_rsp` replaces the part of RSP that the new stack uses.
void return_to_outer_level(CpuState& state, const Segment& cs, std::uint64_t rip, const Segment& ss,
                           std::uint64_t popped_rsp);

}  // namespace vireo::x86
