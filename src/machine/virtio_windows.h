#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace vireo::machine {

/// Where a virtio device is in a machine whose guest leaves PCI alone.
struct VirtioWindow {
  std::uint32_t base;
  std::uint8_t irq;  ///< of the ISA, of which none is shared: some drivers take them as edges
};

/// In the order in which they are used. They lie among the chipset's addresses, outside what PCI is
/// given; their interrupts are those that nothing else on the board has.
inline constexpr std::array<VirtioWindow, 8> kVirtioWindows{{{0xfec2'0000, 5},
                                                             {0xfec2'1000, 10},
                                                             {0xfec2'2000, 11},
                                                             {0xfec2'3000, 3},
                                                             {0xfec2'4000, 6},
                                                             {0xfec2'5000, 7},
                                                             {0xfec2'6000, 14},
                                                             {0xfec2'7000, 15}}};

/// How many virtio devices are behind windows, for this kernel command line: all if it says
/// pci=off, else none.
unsigned virtio_window_count(std::string_view command_line, unsigned devices);

/// The command line with the windows announced, for a kernel that is not to look into the ACPI
/// tables, where they are too. As Linux has it: virtio_mmio.device=SIZE@BASE:IRQ.
std::string announce_virtio_windows(const std::string& command_line, unsigned count);

}  // namespace vireo::machine
