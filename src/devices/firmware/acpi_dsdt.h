#pragma once
#include "devices/firmware/acpi_tables.h"
#include "devices/firmware/aml.h"

namespace vireo::devices {

/// The definition block behind the header of the DSDT: what a kernel cannot find by looking.
aml::Bytes build_dsdt_body(const AcpiDescription& description);

}  // namespace vireo::devices
