#pragma once
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/assert.h"
#include "machine/memory_layout.h"

namespace vireo::machine {

/// Linux's "zero page", struct boot_params. Documentation/arch/x86/zero-page.rst.
class BootParams {
 public:
  // Offsets of the fields that a loader fills in.
  static constexpr std::size_t kAcpiRsdp = 0x70, kExtInitrdImage = 0xc0, kExtInitrdSize = 0xc4,
                               kE820Count = 0x1e8, kSetupSectors = 0x1f1, kVideoMode = 0x1fa,
                               kBootFlag = 0x1fe, kMagic = 0x202, kProtocol = 0x206,
                               kLoaderType = 0x210, kLoadFlags = 0x211, kCode32Start = 0x214,
                               kInitrdImage = 0x218, kInitrdSize = 0x21c, kCommandLine = 0x228,
                               kAlignment = 0x230, kSetupData = 0x250, kE820Table = 0x2d0;

  template <std::unsigned_integral T>
  void set(std::size_t offset, T number) {
    VIREO_ASSERT(offset + sizeof(T) <= bytes_.size());
    std::memcpy(bytes_.data() + offset, &number, sizeof(T));
  }
  /// The setup header as the kernel file has it.
  void set_header(std::span<const std::byte> header);
  /// At most 128 ranges, which is more than our machines have.
  void set_memory_map(std::span<const MemoryRange> map);
  /// The RAM disk; addresses above 4 GiB go to the extension fields.
  void set_initrd(std::uint64_t address, std::uint64_t size);

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::array<std::byte, 4096> bytes_{};
};

}  // namespace vireo::machine
