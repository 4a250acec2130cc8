#include "machine/firmware_files.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "devices/firmware/byte_writer.h"
#include "machine/memory_layout.h"

namespace vireo::machine {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// RAM, as firmware is told of it: what it hides and reserves is its own business.
Bytes memory_table(std::uint64_t bytes) {
  constexpr std::uint32_t kRam = 1;
  const std::uint64_t below = std::min(bytes, kDeviceHoleBase);
  devices::ByteWriter writer;
  writer.u64(0).u64(below).u32(kRam);
  if (bytes > below) writer.u64(kAboveHoleBase).u64(bytes - below).u32(kRam);
  return writer.take();
}

/// One line each; a zero ends them.
Bytes boot_order_text(const std::vector<std::string>& order) {
  std::string text;
  for (const std::string& device : order) text += (text.empty() ? "" : "\n") + device;
  Bytes bytes(text.begin(), text.end());
  bytes.push_back(0);
  return bytes;
}

constexpr std::string_view kAcpiTables = "etc/acpi/tables";

Bytes acpi_tables(const devices::AcpiDescription& description) {
  for (devices::AcpiBlob& blob : devices::build_acpi_files(description)) {
    if (blob.name == kAcpiTables) return std::move(blob.bytes);
  }
  return {};
}

Bytes copy_of(std::span<const std::byte> bytes) {
  Bytes result(bytes.size());
  std::ranges::transform(bytes, result.begin(),
                         [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
  return result;
}

}  // namespace

Result<> add_firmware_files(devices::FwCfg& fw_cfg, const FirmwareFiles& files) {
  devices::AcpiDescription acpi = describe_acpi(files.tables);
  // Firmware may put windows anywhere between RAM and the chipset.
  acpi.pci_hole_begin =
      static_cast<std::uint32_t>(std::min(files.tables.memory_bytes, kDeviceHoleBase));
  for (devices::AcpiBlob& blob : devices::build_acpi_files(acpi)) {
    if (blob.name == kAcpiTables) continue;
    TRY(fw_cfg.add_file(blob.name, std::move(blob.bytes)));
  }
  TRY(fw_cfg.add_made_file(kAcpiTables, [acpi, pm_base = files.pm_base]() mutable {
    acpi.pm_base = pm_base();
    return acpi_tables(acpi);
  }));
  auto smbios = devices::build_smbios_tables(describe_smbios(files.tables), PhysAddr{0});
  TRY(fw_cfg.add_file("etc/smbios/smbios-anchor", std::move(smbios.anchor)));
  TRY(fw_cfg.add_file("etc/smbios/smbios-tables", std::move(smbios.structures)));
  TRY(fw_cfg.add_file("etc/e820", memory_table(files.tables.memory_bytes)));
  if (!files.boot_order.empty())
    TRY(fw_cfg.add_file("bootorder", boot_order_text(files.boot_order)));
  if (!files.video_bios.empty())
    TRY(fw_cfg.add_file("pci1234,1111.rom", copy_of(files.video_bios)));
  return {};
}

}  // namespace vireo::machine
