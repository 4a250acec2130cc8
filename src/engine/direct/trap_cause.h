#pragma once
#include <csignal>
#include <cstdint>

namespace vireo::engine::direct {

/// Why a process got SIGTRAP.
enum class TrapCause : std::uint8_t {
  kBreakpoint,   ///< of a debug register: RIP is in front of the instruction
  kStep,         ///< by TF: RIP is behind the instruction
  kInstruction,  ///< INT3 or INT1, the same
};

struct Trap {
  int code = 0;                ///< si_code
  bool stepping = false;       ///< TF is set
  bool at_breakpoint = false;  ///< a debug register holds RIP
  bool behind_int1 = false;    ///< the byte in front of RIP is one
};

/// Hosts that are virtual machines themselves may lose what DR6 says: of one breakpoint in some ten
/// thousand their kernel says what it says of INT1, that nobody knows a reason (TRAP_BRKPT).
inline TrapCause cause_of(const Trap& trap) {
  if (trap.code == TRAP_HWBKPT) return TrapCause::kBreakpoint;
  if (trap.code == SI_KERNEL) return TrapCause::kInstruction;
  if (trap.code == TRAP_BRKPT && trap.at_breakpoint && !trap.behind_int1)
    return TrapCause::kBreakpoint;
  return trap.stepping ? TrapCause::kStep : TrapCause::kInstruction;
}

}  // namespace vireo::engine::direct
