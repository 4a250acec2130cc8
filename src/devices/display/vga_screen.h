#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "devices/display/vga_state.h"

namespace vireo::devices {

/// A picture of so many pixels, each three bytes of red, green and blue, line by line.
struct Picture {
  unsigned width = 0, height = 0;
  std::vector<std::uint8_t> rgb;
};

/// What a VGA in this state shows: text with its font and cursor, 16 colours in planes, 256
/// colours, CGA's colours, and the linear modes of VBE. The memory is as vga_planes.h has it; the
/// registers are the guest's and may say anything. A screen that is off is black.
Picture draw_screen(const VgaState& state, std::span<const std::uint8_t> memory);

/// The characters of a text mode as lines of UTF-8 without trailing spaces, taken for code page
/// 437. No lines in other modes.
std::vector<std::string> screen_text(const VgaState& state, std::span<const std::uint8_t> memory);

}  // namespace vireo::devices
