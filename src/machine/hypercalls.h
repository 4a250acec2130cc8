#pragma once
#include <array>
#include <cstdint>

#include "devices/irqchip/interrupt_message.h"

namespace vireo::machine {

/// Who wakes virtual CPUs without an interrupt. Thread safe.
class CpuKicker {
 public:
  virtual ~CpuKicker() = default;
  /// The CPU with this APIC id, if there is one, goes on behind the HLT that it is in or comes to
  /// next.
  virtual void kick(std::uint32_t apic_id) = 0;
};

/// Executes a hypercall that concerns the machine's interrupts and CPUs, with the numbers,
/// arguments and answers that guests know from KVM (Documentation/virt/kvm/x86/hypercalls.rst);
/// unknown ones answer x86::CpuPort::kUnknownHypercall. On the thread of the CPU that asks.
std::uint64_t execute_hypercall(devices::InterruptSink& interrupts, CpuKicker& cpus,
                                std::uint64_t number,
                                const std::array<std::uint64_t, 4>& arguments);

}  // namespace vireo::machine
