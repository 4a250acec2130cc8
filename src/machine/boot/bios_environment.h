#pragma once
#include <cstdint>
#include <functional>

#include "memory/guest_memory.h"

namespace vireo::machine {

/// A byte written to an I/O port.
using PortWrite = std::function<void(std::uint16_t port, std::uint8_t value)>;

/// Where the timer keeps its ticks since power-on: 32 bits in the BIOS data area.
inline constexpr std::uint64_t kBiosTicks = 0x46c;

/// Leaves behind what a kernel that returns to real-address mode finds on a PC: interrupt vectors
/// that all lead to handlers in the BIOS segment 0xf000, the interrupt controllers at vectors 0x08
/// and 0x70 with the timer and the cascade unmasked, and the timer ticking 18.2 times a second.
/// The handlers acknowledge hardware interrupts, count ticks and call INT 1Ch; there are no
/// services: any other interrupt returns at once. IBM PC AT Technical Reference, section 5.
void put_bios_environment(memory::GuestMemory& memory, const PortWrite& port_write);

}  // namespace vireo::machine
