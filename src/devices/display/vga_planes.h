#pragma once
#include <cstdint>
#include <span>

#include "devices/display/vga_state.h"

namespace vireo::devices {

/// How the CPU sees display memory at 0xa0000-0xbffff: through planes and latches, in chains of
/// four, by odd and even bytes, or by banks of VBE. IBM VGA Technical Reference, 2-70 to 2-91.
///
/// Byte n of plane p is at 4n + p of the memory, whose size is a power of two, at least 256 KiB. In
/// chains consecutive bytes have no gaps between them: the CRTC counts them one by one, which it
/// does on hardware by its word and double word modes.
/// `offset` is below 0x20000.
std::uint8_t read_vga_window(VgaState& state, std::span<const std::uint8_t> memory,
                             std::uint32_t offset);
void write_vga_window(const VgaState& state, std::span<std::uint8_t> memory, std::uint32_t offset,
                      std::uint8_t value);

}  // namespace vireo::devices
