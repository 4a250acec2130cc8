#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace vireo::machine {

/// The header of a Multiboot 1 kernel. Multiboot Specification 0.6.96, 3.1.
struct MultibootHeader {
  std::uint64_t offset = 0;  ///< where in the file it stands
  std::uint32_t flags = 0;
  std::uint32_t header_address = 0, load_address = 0, load_end = 0, bss_end = 0, entry = 0;

  static constexpr std::uint32_t kPageAlign = 1, kMemoryInfo = 2, kVideo = 4, kAddresses = 1 << 16;
};

/// The first valid header in the first 8 KiB of the hostile file.
std::optional<MultibootHeader> find_multiboot_header(std::span<const std::byte> file);

}  // namespace vireo::machine
