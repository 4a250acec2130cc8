#include "machine/boot/boot_params.h"

#include <algorithm>

namespace vireo::machine {

void BootParams::set_header(std::span<const std::byte> header) {
  const std::size_t size = std::min(header.size(), kE820Table - kSetupSectors);
  std::memcpy(bytes_.data() + kSetupSectors, header.data(), size);
}

void BootParams::set_memory_map(std::span<const MemoryRange> map) {
  constexpr std::size_t kMost = 128, kEntrySize = 20;
  VIREO_ASSERT(map.size() <= kMost);
  std::size_t at = kE820Table;
  for (const MemoryRange& range : map) {
    set(at, range.base), set(at + 8, range.size);
    set(at + 16, static_cast<std::uint32_t>(range.type));
    at += kEntrySize;
  }
  set(kE820Count, static_cast<std::uint8_t>(map.size()));
}

void BootParams::set_initrd(std::uint64_t address, std::uint64_t size) {
  set(kInitrdImage, static_cast<std::uint32_t>(address));
  set(kInitrdSize, static_cast<std::uint32_t>(size));
  set(kExtInitrdImage, static_cast<std::uint32_t>(address >> 32));
  set(kExtInitrdSize, static_cast<std::uint32_t>(size >> 32));
}

}  // namespace vireo::machine
