#pragma once
#include <array>
#include <cstdint>

#include "devices/irqchip/interrupt_message.h"

namespace vireo::machine {

/// Executes a hypercall that concerns the machine's interrupts, with the numbers, arguments and
/// answers that guests know from KVM (Documentation/virt/kvm/x86/hypercalls.rst); unknown ones
/// answer x86::CpuPort::kUnknownHypercall. Thread safe.
std::uint64_t execute_hypercall(devices::InterruptSink& interrupts, std::uint64_t number,
                                const std::array<std::uint64_t, 4>& arguments);

}  // namespace vireo::machine
