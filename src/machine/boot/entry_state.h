#pragma once
#include <cstdint>

#include "base/result.h"
#include "machine/boot/loader.h"

namespace vireo::machine {

/// Selectors of the flat descriptors that a loader leaves behind: __BOOT_CS and __BOOT_DS of Linux;
/// other protocols leave the numbers open.
inline constexpr std::uint16_t kBootCs = 0x10, kBootDs = 0x18;

/// 32-bit protected mode without paging, flat 4 GiB segments, interrupts off, all else as after
/// reset. Writes the GDT to low memory.
Result<x86::CpuState> flat32_state(const BootContext& context, FreeMemory& free,
                                   std::uint64_t entry);

/// 64-bit mode with the first 4 GiB mapped one to one in 2 MiB pages. Writes the GDT and the page
/// tables to low memory. Documentation/arch/x86/boot.rst, "64-bit Boot Protocol".
Result<x86::CpuState> long64_state(const BootContext& context, FreeMemory& free,
                                   std::uint64_t entry);

}  // namespace vireo::machine
