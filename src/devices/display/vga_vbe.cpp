// The Bochs VBE extensions of the display adapter: modes that are set by numbers, and memory that
// is linear. Bochs, "VBE Display Interface"; the number of the version is that of the last one.
#include <algorithm>

#include "bus/access_split.h"
#include "devices/display/vga.h"

namespace vireo::devices {
namespace {

constexpr std::uint16_t kOldest = 0xb0c0, kNewest = 0xb0c5;
constexpr std::uint64_t kIndexPort = 0, kDataPort = 1;
constexpr std::size_t kBank = 0x10000;

unsigned bits_of(std::uint16_t depth) { return depth == 15 ? 16 : depth; }

}  // namespace

void Vga::read_vbe_ports(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xff});
  if (data.size() != 2) return;
  const std::lock_guard lock(mutex_);
  if (offset == kIndexPort) bus::from_number(data, state_.vbe_index);
  if (offset == kDataPort) bus::from_number(data, read_vbe(state_.vbe_index));
}

void Vga::write_vbe_ports(std::uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 2) return;
  const std::lock_guard lock(mutex_);
  const auto value = static_cast<std::uint16_t>(bus::to_number(data));
  if (offset == kIndexPort) state_.vbe_index = value;
  if (offset == kDataPort) write_vbe(state_.vbe_index, value);
}

std::uint16_t Vga::read_vbe(unsigned index) const {
  if (index >= vbe::kCount) return 0xffff;
  if (index == vbe::kId && state_.vbe[index] == 0) return kNewest;
  if (index == vbe::kMemory) return static_cast<std::uint16_t>(kMemory / kBank);
  if ((state_.vbe[vbe::kEnable] & vbe::kTellLimits) != 0) {
    if (index == vbe::kWidth) return vbe::kMostWidth;
    if (index == vbe::kHeight) return vbe::kMostHeight;
    if (index == vbe::kDepth) return vbe::kMostDepth;
  }
  return state_.vbe[index];
}

void Vga::write_vbe(unsigned index, std::uint16_t value) {
  auto& registers = state_.vbe;
  switch (index) {
    case vbe::kId:
      if (value >= kOldest && value <= kNewest) registers[index] = value;
      return;
    case vbe::kWidth:
      if (value != 0 && value <= vbe::kMostWidth && value % 8 == 0) registers[index] = value;
      return;
    case vbe::kHeight:
      if (value != 0 && value <= vbe::kMostHeight) registers[index] = value;
      return;
    case vbe::kDepth:
      for (const unsigned depth : {4u, 8u, 15u, 16u, 24u, 32u}) {
        if (value == depth) registers[index] = value;
      }
      return;
    case vbe::kEnable:
      return enable_vbe(value);
    case vbe::kBank:
      if (value < kMemory / kBank) registers[index] = value;
      return;
    case vbe::kVirtualWidth:
      registers[index] = value;
      return update_virtual_size();
    case vbe::kLeft:
    case vbe::kTop:
      registers[index] = value;
      return;
    default:
      return;
  }
}

/// A mode that does not fit into memory is not switched on.
void Vga::enable_vbe(std::uint16_t value) {
  auto& registers = state_.vbe;
  const bool was_enabled = state_.vbe_enabled();
  const std::uint64_t bits = std::uint64_t{registers[vbe::kWidth]} * registers[vbe::kHeight] *
                             bits_of(registers[vbe::kDepth]);
  if ((value & vbe::kEnabled) != 0 && (bits == 0 || bits / 8 > kMemory))
    value = static_cast<std::uint16_t>(value & ~vbe::kEnabled);
  registers[vbe::kEnable] = value;
  if (!state_.vbe_enabled() || was_enabled) return;
  registers[vbe::kBank] = registers[vbe::kLeft] = registers[vbe::kTop] = 0;
  registers[vbe::kVirtualWidth] = registers[vbe::kWidth];
  update_virtual_size();
  if ((value & vbe::kKeepMemory) == 0) std::fill_n(memory_.begin(), bits / 8, std::uint8_t{0});
}

void Vga::update_virtual_size() {
  auto& registers = state_.vbe;
  registers[vbe::kVirtualWidth] = std::max(registers[vbe::kVirtualWidth], registers[vbe::kWidth]);
  const std::size_t line = std::max<std::size_t>(
      std::size_t{registers[vbe::kVirtualWidth]} * bits_of(registers[vbe::kDepth]) / 8, 1);
  registers[vbe::kVirtualHeight] =
      static_cast<std::uint16_t>(std::min<std::size_t>(kMemory / line, 0xffff));
}

}  // namespace vireo::devices
