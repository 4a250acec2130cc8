#include "machine/firmware_tables.h"

#include <span>

#include "devices/firmware/acpi_tables.h"
#include "devices/firmware/smbios_tables.h"
#include "machine/memory_layout.h"

namespace vireo::machine {
namespace {

constexpr std::uint64_t kSmbiosStructures = value(devices::kSmbiosAnchorAddress) + 0x100;

Result<> put(memory::GuestMemory& memory, PhysAddr address, std::span<const std::uint8_t> bytes,
             std::uint64_t end) {
  if (value(address) + bytes.size() > end || !memory.write(address, std::as_bytes(bytes))) {
    return host_error("the firmware tables do not fit below {:#x}", end);
  }
  return {};
}

Result<std::uint64_t> put_acpi(memory::GuestMemory& memory, const FirmwareTables& tables) {
  const auto blobs = devices::build_acpi_tables(describe_acpi(tables), PhysAddr{kFirmwareTables});
  for (const devices::AcpiBlob& blob : blobs) {
    TRY(put(memory, blob.address, blob.bytes, value(devices::kSmbiosAnchorAddress)));
  }
  return value(blobs.front().address);
}

Result<> put_smbios(memory::GuestMemory& memory, const FirmwareTables& tables) {
  const auto smbios =
      devices::build_smbios_tables(describe_smbios(tables), PhysAddr{kSmbiosStructures});
  TRY(put(memory, devices::kSmbiosAnchorAddress, smbios.anchor, kSmbiosStructures));
  return put(memory, PhysAddr{kSmbiosStructures}, smbios.structures, kHighMemoryBase);
}

}  // namespace

Result<std::uint64_t> put_firmware_tables(memory::GuestMemory& memory,
                                          const FirmwareTables& tables) {
  // BIOS data area: the segment of the extended area, and the KiB of memory below it.
  memory.write_value(PhysAddr{kBdaBase + 0x0e}, static_cast<std::uint16_t>(kEbdaBase >> 4));
  memory.write_value(PhysAddr{kBdaBase + 0x13}, static_cast<std::uint16_t>(kEbdaBase >> 10));
  memory.write_value(PhysAddr{kEbdaBase}, std::uint8_t{1});  // its own size in KiB
  TRY(put_smbios(memory, tables));
  return put_acpi(memory, tables);
}

}  // namespace vireo::machine
