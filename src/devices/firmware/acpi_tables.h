#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace vireo::devices {

/// What the ACPI tables have to say about a machine. The defaults are this project's PC.
struct AcpiDescription {
  /// One per CPU, in order; at most 4096.
  std::vector<std::uint32_t> apic_ids{0};
  std::uint32_t local_apic_address = 0xfee00000;
  std::uint32_t io_apic_address = 0xfec00000;
  std::uint8_t io_apic_id = 0;
  bool has_pci = true;  ///< false for a kernel that leaves it alone and would trip over its parts
  /// Where PCI windows may be below 4 GiB: from the end of RAM to the chipset's own addresses.
  std::uint32_t pci_hole_begin = 0xc0000000;
  std::uint32_t pci_hole_end = 0xfec00000;
  /// And above; size 0: none.
  std::uint64_t high_pci_hole_begin = 0;
  std::uint64_t high_pci_hole_size = 0;
  /// The interrupts that PCI lines can be routed to: level triggered, active high.
  std::vector<std::uint8_t> pci_interrupts{5, 10, 11};
  std::uint16_t pm_base = 0x600;     ///< of what is laid out as in Piix4Pm
  bool pm_timer_has_32_bits = true;  ///< otherwise 24
  std::uint8_t sci = 9;
  std::uint16_t smi_command = 0xb2;
  std::uint8_t acpi_enable = 0xf1, acpi_disable = 0xf0;
  std::uint8_t soft_off_type = 0;
  bool has_hpet = true;
  std::uint32_t hpet_address = 0xfed00000;
  std::uint32_t hpet_id = 0x8086a201;  ///< low half of the HPET's capability register
  /// Windows of 4 KiB with virtio devices, each with an interrupt of its own.
  struct VirtioWindow {
    std::uint32_t base;
    std::uint8_t irq;
  };
  std::vector<VirtioWindow> virtio_windows;
  bool has_keyboard_controller = true;
  bool has_vga = false;
  struct SerialPort {
    std::uint16_t port;
    std::uint8_t irq;
  };
  std::vector<SerialPort> serial_ports{{0x3f8, 4}};
};

/// Bytes to put into guest memory or to hand to firmware.
struct AcpiBlob {
  std::string name;
  PhysAddr address;
  std::vector<std::uint8_t> bytes;
};

/// The tables for a machine without firmware, ready at their addresses. If `base` lies in
/// 0xe0000-0xfffff, where kernels look, everything is there, one after the other; otherwise the
/// tables are at `base`, below 4 GiB, and the root pointer at kRootPointerAddress. `base` is a
/// multiple of 64. The first blob is the root pointer.
std::vector<AcpiBlob> build_acpi_tables(const AcpiDescription& description, PhysAddr base);
inline constexpr PhysAddr kRootPointerAddress{0xe0000};

/// The same tables as fw_cfg files: etc/acpi/rsdp, etc/acpi/tables and etc/table-loader, by which
/// firmware puts them where it likes. The addresses mean nothing.
std::vector<AcpiBlob> build_acpi_files(const AcpiDescription& description);

}  // namespace vireo::devices
