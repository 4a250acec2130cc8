#pragma once
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/fault.h"

// How x87 exceptions are reported while CR0.NE is clear: as on a PC, through interrupt hardware.
// SDM vol. 1, 8.7.2 and D.2.1. For engines, between instructions, with CpuState::fpu whole.

namespace vireo::x86 {

/// Whether the fault of an instruction is a pending x87 exception that is reported so. Then there
/// is nothing to deliver: the CPU freezes, or ignores the exception if CpuPort::ignne() says so.
bool reported_by_ferr(const CpuState& state, const Fault& fault);

/// Asserts FERR# and halts the CPU in front of the instruction that met the exception; RIP has been
/// put back. What wakes it comes back to this instruction.
void freeze(CpuState& state, CpuPort& port);

/// After each instruction while CpuState::ferr is set: FERR# is deasserted once no exception is
/// pending any more.
void follow_error_summary(CpuState& state, CpuPort& port);

/// The pending exceptions, out of sight of the instruction that ignores them.
class IgnoredExceptions {
 public:
  explicit IgnoredExceptions(FpuState& fpu);
  /// After the instruction: they are pending again, beside its own.
  void put_back(FpuState& fpu) const;

 private:
  std::uint16_t flags_;
};

}  // namespace vireo::x86
