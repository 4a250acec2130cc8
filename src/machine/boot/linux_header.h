#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace vireo::machine {

/// The setup header of a bzImage. Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header";
/// fields that the kernel's protocol version does not have yet get the value that it implies.
struct LinuxHeader {
  std::uint16_t protocol = 0;  ///< 0x020f is 2.15
  std::uint8_t setup_sectors = 0;
  std::uint8_t load_flags = 0;
  std::uint32_t initrd_address_max = 0;  ///< the last byte that a RAM disk may occupy
  std::uint32_t alignment = 0;
  bool relocatable = false;
  std::uint16_t extended_flags = 0;
  std::uint32_t command_line_size = 0;  ///< without the terminating zero
  std::uint64_t preferred_address = 0;
  std::uint32_t init_size = 0;  ///< memory that it needs from where it is loaded until it has a map
  std::span<const std::byte> raw;      ///< the header as the file has it, from offset 0x1f1
  std::span<const std::byte> payload;  ///< the protected-mode part

  static constexpr std::uint64_t kOffset = 0x1f1;
  bool entry64() const { return protocol >= 0x20c && (extended_flags & 1) != 0; }
  bool loadable_above_4g() const { return protocol >= 0x20c && (extended_flags & 2) != 0; }

  static bool present(std::span<const std::byte> file);
  /// The file is hostile and outlives the header. A usage error says why it cannot be booted.
  static Result<LinuxHeader> parse(std::span<const std::byte> file);
};

}  // namespace vireo::machine
