#pragma once
#include <cstdint>
#include <span>

#include "base/result.h"
#include "machine/boot/bios_environment.h"
#include "machine/boot/boot_image.h"
#include "machine/boot/free_memory.h"
#include "machine/memory_layout.h"
#include "memory/guest_memory.h"
#include "x86/cpu_state.h"

namespace vireo::machine {

/// What every loader works with.
struct BootContext {
  memory::GuestMemory& memory;
  std::span<const MemoryRange> map;
  std::uint64_t rsdp = 0;  ///< physical address of the ACPI root pointer; 0 if there is none
  PortWrite port_write;    ///< to the board, for what a BIOS sets up; empty if there is none
};

/// Puts the kernel and what it is told into guest memory and answers with the state in which the
/// boot CPU enters it, exactly as the kernel's boot protocol says. Usage errors say what does not
/// fit and how much memory would be enough.
Result<x86::CpuState> load_kernel(const BootImage& image, const BootContext& context);

// One per protocol; load_kernel() chooses.
Result<x86::CpuState> load_bzimage(const BootImage& image, const BootContext& context);
Result<x86::CpuState> load_linux_elf(const BootImage& image, const BootContext& context);
Result<x86::CpuState> load_pvh(const BootImage& image, const BootContext& context);
Result<x86::CpuState> load_multiboot(const BootImage& image, const BootContext& context);

// Pieces that they share.

/// A place in conventional memory (below 640 KiB) for structures of the loader.
Result<std::uint64_t> take_low(FreeMemory& free, std::uint64_t size, std::uint64_t alignment = 16);
/// Writes a zero-terminated text to low memory and answers with its address.
Result<std::uint64_t> put_text(const BootContext& context, FreeMemory& free,
                               const std::string& text);
/// As much of memory as is needed: the smallest `--memory` that reaches `end`, in MiB.
std::uint64_t mib_needed(std::uint64_t end);

}  // namespace vireo::machine
