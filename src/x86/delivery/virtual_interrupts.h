#pragma once
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/delivery/task_state_segment.h"
#include "x86/fault.h"

namespace vireo::x86 {

// IOPL, and the virtual interrupt flag of CR4.VME and CR4.PVI. SDM vol. 3B, 20.3 and 20.4.

constexpr unsigned iopl(const CpuState& state) {
  return static_cast<unsigned>(state.rflags >> rflags::kIoplShift) & 3;
}

/// Whether INT n in virtual-8086 mode goes to the 8086 program instead of the monitor.
inline OrFault<bool> is_redirected(const CpuState& state, CpuPort& port, std::uint8_t vector) {
  if ((state.cr4 & cr4::kVme) == 0) return false;
  return !TRY(read_redirection_bit(state, port, vector));
}

/// The 16 flags as a virtual-8086 program with IOPL below 3 sees them: VIF for IF, and IOPL 3.
constexpr std::uint64_t virtual_flags_image(const CpuState& state) {
  const std::uint64_t kept = state.rflags & ~rflags::kIf & 0xffff;
  return kept | rflags::kIopl | ((state.rflags & rflags::kVif) ? rflags::kIf : 0);
}

/// RFLAGS after such a program has popped the 16-bit `image`: IF goes to VIF. #GP(0) if TF is set,
/// or IF while an interrupt is pending for the program.
inline OrFault<std::uint64_t> pop_virtual_flags(const CpuState& state, std::uint64_t image) {
  const bool enable = (image & rflags::kIf) != 0;
  if ((image & rflags::kTf) || (enable && (state.rflags & rflags::kVip)))
    return general_protection();
  const std::uint64_t writable = rflags::kArithmetic | rflags::kDf | rflags::kNt | rflags::kTf;
  const std::uint64_t kept = state.rflags & ~(writable | rflags::kVif | rflags::kRf);
  return kept | (image & writable) | (enable ? rflags::kVif : 0);
}

}  // namespace vireo::x86
