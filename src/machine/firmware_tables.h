#pragma once
#include <cstdint>

#include "base/result.h"
#include "memory/guest_memory.h"

namespace vireo::machine {

/// What the tables have to say.
struct FirmwareTables {
  unsigned cpus = 1;
  std::uint64_t memory_bytes = 0;
  unsigned virtio_windows = 0;  ///< so many of kVirtioWindows are in use
};

/// Puts what firmware leaves in memory for an operating system to where it looks: the BIOS data
/// area, ACPI tables from kFirmwareTables on, and SMBIOS structures from 0xf0000 on. Answers with
/// the address of the ACPI root pointer.
Result<std::uint64_t> put_firmware_tables(memory::GuestMemory& memory,
                                          const FirmwareTables& tables);

}  // namespace vireo::machine
