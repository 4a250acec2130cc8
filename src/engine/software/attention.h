#pragma once
#include "engine/software/cpu.h"

namespace vireo::engine {

/// Whether the run loop has to look at the state before the next instruction: after an instruction
/// before which RFLAGS were `flags_before`.
inline bool needs_attention(const Cpu& cpu, std::uint64_t flags_before) {
  const x86::CpuState& state = cpu.state;
  const std::uint64_t set = state.rflags & ~flags_before;
  return cpu.leave_block || cpu.events.any() ||
         (state.sti_shadow | state.mov_ss_shadow | state.activity) != 0 ||
         ((state.rflags & x86::rflags::kTf) | (set & x86::rflags::kIf)) != 0 ||
         (state.rflags & x86::rflags::kRf) != 0 || state.pending_debug != 0 ||
         (state.nmi_pending && !state.nmi_blocked) || (state.dr7 & 0xff) != 0;
}

}  // namespace vireo::engine
