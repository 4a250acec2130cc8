#pragma once
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "memory/guest_memory.h"

namespace vireo::machine {

inline constexpr std::uint64_t kLowMemoryEnd = 0xa'0000;        ///< display memory begins here
inline constexpr std::uint64_t kBdaBase = 0x400;                ///< the BIOS data area
inline constexpr std::uint64_t kEbdaBase = 0x9'fc00;            ///< the extended BIOS data area
inline constexpr std::uint64_t kShadowBase = 0xc'0000;          ///< RAM where firmware shadows ROM
inline constexpr std::uint64_t kFirmwareTables = 0xe'0000;      ///< from here to 1 MiB: our tables
inline constexpr std::uint64_t kHighMemoryBase = 0x10'0000;     ///< 1 MiB
inline constexpr std::uint64_t kDeviceHoleBase = 0xc000'0000;   ///< 3 GiB: PCI and chipset windows
inline constexpr std::uint64_t kAboveHoleBase = 0x1'0000'0000;  ///< 4 GiB

/// How firmware reports a range of addresses to an operating system. ACPI 6.5, table 15.2.
enum class RangeType : std::uint32_t { kRam = 1, kReserved = 2 };

struct MemoryRange {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  RangeType type = RangeType::kRam;
  std::uint64_t end() const { return base + size; }
  bool operator==(const MemoryRange&) const = default;
};

/// A usage error for sizes that a PC cannot have: less than 2 MiB, more than 512 GiB, or not whole
/// MiB.
Result<> check_memory_size(std::uint64_t bytes);

/// A usage error if a balloon of this size would leave the guest no memory.
Result<> check_balloon(std::uint64_t bytes, std::uint64_t memory_bytes);

/// Where a PC with so much memory has RAM: below 640 KiB, from 768 KiB to 3 GiB, and what is left
/// above 4 GiB. The 128 KiB that display memory hides are lost, as on a PC.
std::vector<memory::Region> ram_regions(std::uint64_t bytes);

/// The same as the operating system is told (INT 15h E820 and its heirs), in ascending order.
std::vector<MemoryRange> memory_map(std::uint64_t bytes);

}  // namespace vireo::machine
