#pragma once
#include <cstdint>
#include <optional>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/delivery/descriptor.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// What leads to another task; it decides about busy bits, NT and the link. SDM vol. 3A, table 7-2.
enum class TaskSwitchCause : std::uint8_t {
  kJump,
  kCall,
  kEvent,   ///< an interrupt or exception through a task gate: nests like CALL
  kReturn,  ///< IRET with NT set
};

/// Leaves the current task for the one of `tss`, which `selector` names in the GDT and the caller
/// has found present and (but for kReturn) available. SDM vol. 3A, 7.3.
///
/// `raise` is #TS, with EXT as the cause demands. `flags` is the RFLAGS image that the old TSS
/// keeps. A fault as the outer answer means that nothing has changed. A fault as the inner one
/// means that the new task is in place, RIP included, and begins with that fault: the caller
/// delivers it there instead of putting RIP back. A set T bit goes to CpuState::pending_debug.
/// Only outside IA-32e mode.
OrFault<std::optional<Fault>> switch_task(CpuState& state, CpuPort& port, std::uint16_t selector,
                                          Descriptor tss, TaskSwitchCause cause, Raise raise,
                                          std::uint64_t flags);

}  // namespace vireo::x86
