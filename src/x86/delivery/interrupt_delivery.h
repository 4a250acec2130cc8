#pragma once
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/delivery/event.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// Delivers one interrupt or exception in every mode: real-address, protected with interrupt, trap
/// and task gates, virtual-8086, IA-32e. SDM vol. 3A, chapter 6 and 20.
///
/// On a fault the state is unchanged. (A fault with which a task begins that the event switched to
/// is delivered there, and the answer is success.) On success the interrupt shadows are over, a
/// halted CPU runs, an NMI blocks further ones, and port.mode_changed() has been called.
OrFault<> deliver_event(CpuState& state, CpuPort& port, const Event& event);

enum class DeliveryOutcome : std::uint8_t {
  kDelivered,
  kTripleFault,  ///< CpuState::activity is Activity::kShutdown
};

/// As above, and what fails in the delivery is delivered in turn, down to the double fault and the
/// shutdown after it. SDM vol. 3A, 6.15, interrupt 8. For engines, between instructions.
DeliveryOutcome deliver(CpuState& state, CpuPort& port, const Event& event);

/// The same for the fault that an instruction ended with; RIP has been put back. CR2 is loaded for
/// a page fault. `was_external`: the fault was not the program's doing (it came up while something
/// was delivered), so its error code says EXT.
DeliveryOutcome deliver_fault(CpuState& state, CpuPort& port, const Fault& fault,
                              bool was_external = false);

}  // namespace vireo::x86
