#include "machine/firmware_tables.h"

#include <algorithm>
#include <span>

#include "base/version.h"
#include "devices/firmware/acpi_tables.h"
#include "devices/firmware/smbios_tables.h"
#include "machine/board.h"
#include "machine/memory_layout.h"
#include "machine/virtio_windows.h"

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
  devices::AcpiDescription description;
  description.apic_ids.clear();
  for (unsigned cpu = 0; cpu < tables.cpus; ++cpu) description.apic_ids.push_back(cpu);
  description.io_apic_address = kIoApicBase;
  description.hpet_address = kHpetBase;
  description.pci_hole_begin = kDeviceHoleBase;
  description.pci_hole_end = kIoApicBase;
  description.serial_ports = {{kSerialPort, kSerialIrq}};
  description.has_pci = tables.virtio_windows == 0;
  for (unsigned i = 0; i < tables.virtio_windows; ++i)
    description.virtio_windows.push_back({kVirtioWindows.at(i).base, kVirtioWindows.at(i).irq});
  const auto blobs = devices::build_acpi_tables(description, PhysAddr{kFirmwareTables});
  for (const devices::AcpiBlob& blob : blobs) {
    TRY(put(memory, blob.address, blob.bytes, value(devices::kSmbiosAnchorAddress)));
  }
  return value(blobs.front().address);
}

Result<> put_smbios(memory::GuestMemory& memory, const FirmwareTables& tables) {
  devices::SmbiosDescription description;
  description.cpus = tables.cpus;
  description.memory_bytes = tables.memory_bytes;
  description.memory_below_4g = std::min(tables.memory_bytes, kDeviceHoleBase);
  description.version = kVersion;
  const auto smbios = devices::build_smbios_tables(description, PhysAddr{kSmbiosStructures});
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
