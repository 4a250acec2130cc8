#pragma once
#include <cstdint>

#include "devices/firmware/acpi_tables.h"
#include "devices/firmware/smbios_tables.h"

namespace vireo::machine {

/// What the tables for an operating system have to say of a machine.
struct FirmwareTables {
  unsigned cpus = 1;
  std::uint64_t memory_bytes = 0;
  unsigned virtio_windows = 0;  ///< so many of kVirtioWindows are in use
  bool has_vga = false;
};

devices::AcpiDescription describe_acpi(const FirmwareTables& tables);
devices::SmbiosDescription describe_smbios(const FirmwareTables& tables);

}  // namespace vireo::machine
