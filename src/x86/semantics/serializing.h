#pragma once
#include <atomic>

#include "x86/semantics/handler.h"

namespace vireo::x86 {

/// No load behind it reads memory before every store in front of it is seen by all CPUs. The host
/// holds stores back as the guest's CPU does, so that it must be told. SDM vol. 3A, 8.2.5.
inline void drain_stores() { std::atomic_thread_fence(std::memory_order_seq_cst); }

/// The handler of an instruction that serializes (SDM vol. 3A, 8.3), or that waits for stores: I/O
/// does as well.
template <Handler execute>
OrFault<> serializing(CpuState& state, CpuPort& port, const Insn& insn) {
  drain_stores();
  return execute(state, port, insn);
}

}  // namespace vireo::x86
