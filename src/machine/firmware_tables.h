#pragma once
#include <cstdint>

#include "base/result.h"
#include "machine/machine_description.h"
#include "memory/guest_memory.h"

namespace vireo::machine {

/// Puts what firmware leaves in memory for an operating system to where it looks: the BIOS data
/// area, ACPI tables from kFirmwareTables on, and SMBIOS structures from 0xf0000 on. Answers with
/// the address of the ACPI root pointer.
Result<std::uint64_t> put_firmware_tables(memory::GuestMemory& memory,
                                          const FirmwareTables& tables);

}  // namespace vireo::machine
