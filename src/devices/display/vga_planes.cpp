#include "devices/display/vga_planes.h"

#include <array>
#include <optional>

namespace vireo::devices {
namespace {

constexpr unsigned kPlanes = 4;
constexpr std::uint32_t kPlaneBytes = 0x10000;
using Planes = std::array<std::uint8_t, kPlanes>;

/// The address inside the range that the graphics controller decodes; nothing outside of it.
std::optional<std::uint32_t> decode(const VgaState& state, std::uint32_t offset) {
  constexpr std::uint32_t kMono = 0x10000, kColour = 0x18000;
  switch (state.graphics[6] >> 2 & 3) {
    case 0:
      return offset;
    case 1:
      if (offset >= kMono) return std::nullopt;
      return offset;
    case 2:
      if (offset < kMono || offset >= kColour) return std::nullopt;
      return offset - kMono;
    default:
      if (offset < kColour) return std::nullopt;
      return offset - kColour;
  }
}

/// Where an address is in linear memory, behind the bank of VBE.
std::size_t linear_index(const VgaState& state, std::size_t size, std::uint32_t offset) {
  constexpr std::uint32_t kBank = 0x10000;
  return (std::size_t{state.vbe[vbe::kBank]} * kBank + offset % kBank) & (size - 1);
}

/// The first of the four bytes, one of each plane, that an address stands for.
std::size_t plane_index(const VgaState& state, std::uint32_t offset) {
  const std::uint32_t at = state.odd_even() ? offset / 2 : offset;
  return std::size_t{at % kPlaneBytes} * kPlanes;
}

std::uint8_t rotated(std::uint8_t value, unsigned count) {
  return static_cast<std::uint8_t>(value >> count | value << ((8 - count) & 7));
}

/// What the four planes are to hold where the bit mask lets them change.
Planes values_for(const VgaState& state, std::uint8_t value) {
  const auto& graphics = state.graphics;
  const auto all = [](unsigned bit) { return static_cast<std::uint8_t>(bit != 0 ? 0xff : 0x00); };
  const std::uint8_t turned = rotated(value, graphics[3] & 7);
  Planes planes{};
  for (unsigned plane = 0; plane < kPlanes; ++plane) {
    const std::uint8_t fixed = all(graphics[0] >> plane & 1);
    switch (graphics[5] & 3) {
      case 0:
        planes[plane] = (graphics[1] >> plane & 1) != 0 ? fixed : turned;
        break;
      case 2:
        planes[plane] = all(value >> plane & 1);
        break;
      default:
        planes[plane] = fixed;
    }
  }
  return planes;
}

std::uint8_t combined(unsigned function, std::uint8_t value, std::uint8_t latch) {
  switch (function) {
    case 1:
      return value & latch;
    case 2:
      return value | latch;
    case 3:
      return value ^ latch;
    default:
      return value;
  }
}

void write_planes(const VgaState& state, std::span<std::uint8_t> memory, std::size_t at,
                  unsigned planes, std::uint8_t value) {
  const auto& graphics = state.graphics;
  const unsigned mode = graphics[5] & 3;
  const Planes values = values_for(state, value);
  const auto mask = static_cast<std::uint8_t>(
      mode == 3 ? graphics[8] & rotated(value, graphics[3] & 7) : graphics[8]);
  for (unsigned plane = 0; plane < kPlanes; ++plane) {
    if ((planes >> plane & 1) == 0) continue;
    const std::uint8_t latch = state.latches[plane];
    const std::uint8_t fresh = combined(graphics[3] >> 3 & 3, values[plane], latch);
    memory[at + plane] =
        mode == 1 ? latch : static_cast<std::uint8_t>((fresh & mask) | (latch & ~mask));
  }
}

/// Read mode 1: the bits at which all planes that count have the wanted colour.
std::uint8_t compare(const VgaState& state) {
  unsigned differs = 0;
  for (unsigned plane = 0; plane < kPlanes; ++plane) {
    if ((state.graphics[7] >> plane & 1) == 0) continue;
    const unsigned wanted = (state.graphics[2] >> plane & 1) != 0 ? 0xff : 0x00;
    differs |= state.latches[plane] ^ wanted;
  }
  return static_cast<std::uint8_t>(~differs);
}

}  // namespace

std::uint8_t read_vga_window(VgaState& state, std::span<const std::uint8_t> memory,
                             std::uint32_t offset) {
  if (state.linear()) return memory[linear_index(state, memory.size(), offset)];
  const auto address = decode(state, offset);
  if (!address) return 0xff;
  const std::size_t at =
      state.chain4() ? *address % (kPlaneBytes * kPlanes) & ~3u : plane_index(state, *address);
  for (unsigned plane = 0; plane < kPlanes; ++plane) state.latches[plane] = memory[at + plane];
  if (state.chain4()) return state.latches[*address & 3];
  if ((state.graphics[5] & 0x08) != 0) return compare(state);
  const unsigned chosen = state.graphics[4] & 3;
  return state.latches[state.odd_even() ? (chosen & 2) | (*address & 1) : chosen];
}

void write_vga_window(const VgaState& state, std::span<std::uint8_t> memory, std::uint32_t offset,
                      std::uint8_t value) {
  if (state.linear()) {
    memory[linear_index(state, memory.size(), offset)] = value;
    return;
  }
  const auto address = decode(state, offset);
  if (!address) return;
  const unsigned planes = state.sequencer[2] & 0xf;
  if (state.chain4()) {
    if ((planes >> (*address & 3) & 1) != 0) memory[*address % (kPlaneBytes * kPlanes)] = value;
    return;
  }
  const unsigned reached = !state.odd_even() ? 0xfu : (*address & 1) != 0 ? 0xau : 0x5u;
  write_planes(state, memory, plane_index(state, *address), planes & reached, value);
}

}  // namespace vireo::devices
