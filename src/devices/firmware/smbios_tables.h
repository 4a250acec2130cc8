#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"

namespace vireo::devices {

struct SmbiosDescription {
  unsigned cpus = 1;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_below_4g = 0;  ///< the part of it below 4 GiB
  std::array<std::uint8_t, 16> uuid{};
  std::string version = "1.0";
};

/// The anchor by which kernels find the structures (in 0xf0000-0xfffff, 16-byte aligned), and the
/// structures. DMTF DSP0134 2.8: types 0, 1, 3, 4, 16, 17, 19, 32 and 127.
struct SmbiosTables {
  std::vector<std::uint8_t> anchor;      ///< etc/smbios/smbios-anchor for firmware
  std::vector<std::uint8_t> structures;  ///< etc/smbios/smbios-tables
};

/// With the structures at `structures_at`, below 4 GiB.
SmbiosTables build_smbios_tables(const SmbiosDescription& description, PhysAddr structures_at);
inline constexpr PhysAddr kSmbiosAnchorAddress{0xf0000};

}  // namespace vireo::devices
