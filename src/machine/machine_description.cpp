#include "machine/machine_description.h"

#include <algorithm>

#include "base/version.h"
#include "machine/board.h"
#include "machine/memory_layout.h"
#include "machine/virtio_windows.h"

namespace vireo::machine {

devices::AcpiDescription describe_acpi(const FirmwareTables& tables) {
  devices::AcpiDescription description;
  description.apic_ids.clear();
  for (unsigned cpu = 0; cpu < tables.cpus; ++cpu) description.apic_ids.push_back(cpu);
  description.io_apic_address = kIoApicBase;
  description.hpet_address = kHpetBase;
  description.pci_hole_begin = kDeviceHoleBase;
  description.pci_hole_end = kIoApicBase;
  description.serial_ports = {{kSerialPort, kSerialIrq}};
  description.has_vga = tables.has_vga;
  description.has_pci = tables.virtio_windows == 0;
  for (unsigned i = 0; i < tables.virtio_windows; ++i)
    description.virtio_windows.push_back({kVirtioWindows.at(i).base, kVirtioWindows.at(i).irq});
  return description;
}

devices::SmbiosDescription describe_smbios(const FirmwareTables& tables) {
  devices::SmbiosDescription description;
  description.cpus = tables.cpus;
  description.memory_bytes = tables.memory_bytes;
  description.memory_below_4g = std::min(tables.memory_bytes, kDeviceHoleBase);
  description.version = kVersion;
  return description;
}

}  // namespace vireo::machine
