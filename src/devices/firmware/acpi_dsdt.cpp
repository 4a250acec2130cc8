#include "devices/firmware/acpi_dsdt.h"

#include <fmt/format.h>

#include <string>

#include "bus/pci_bus.h"

namespace vireo::devices {
namespace {

using aml::Bytes;
using aml::join;

constexpr std::array<std::string_view, 4> kLinks{"LNKA", "LNKB", "LNKC", "LNKD"};
constexpr std::array<std::string_view, 4> kRoutes{"PRQ0", "PRQ1", "PRQ2", "PRQ3"};
constexpr std::uint64_t kRouteDisabled = 0x80;

Bytes hid(std::string_view id) { return aml::name("_HID", aml::eisa_id(id)); }
Bytes uid(std::uint64_t number) { return aml::name("_UID", aml::integer(number)); }
Bytes crs(std::initializer_list<Bytes> resources) {
  return aml::name("_CRS", aml::resource_template(resources));
}

/// Every pin of every slot and the link device it is soldered to. ACPI 6.4, 6.2.13.
Bytes routing_table() {
  std::vector<Bytes> rows;
  for (unsigned slot = 1; slot < bus::PciBus::kDevices; ++slot) {
    for (unsigned pin = 0; pin < 4; ++pin) {
      const auto link = kLinks[bus::PciBus::pirq_of(slot, pin + 1)];
      rows.push_back(aml::package({aml::integer(std::uint64_t{slot} << 16 | 0xffff),
                                   aml::integer(pin), aml::path(link), aml::integer(0)}));
    }
  }
  return aml::name("_PRT", aml::package(rows));
}

/// A PIRQ line as a device whose interrupt can be chosen: the route control register of the bridge.
Bytes link_device(unsigned index, const AcpiDescription& description) {
  const Bytes route = aml::path(fmt::format("\\_SB.PCI0.ISA.{}", kRoutes[index]));
  const auto is_off = aml::bit_and(route, aml::integer(kRouteDisabled));
  constexpr std::uint64_t kNumberOffset = 5;  // of the interrupt in its descriptor
  std::vector<std::uint32_t> choices(description.pci_interrupts.begin(),
                                     description.pci_interrupts.end());
  const Bytes status =
      aml::method("_STA", 0, false,
                  join({aml::if_then(is_off, aml::return_value(aml::integer(0x09))),
                        aml::return_value(aml::integer(0x0b))}));
  const Bytes disable =
      aml::method("_DIS", 0, false, aml::bit_or(route, aml::integer(kRouteDisabled), route));
  const Bytes storage = aml::name("BUF0", aml::resource_template({aml::shared_interrupts({0})}));
  const Bytes current =
      aml::method("_CRS", 0, true,
                  join({aml::create_dword_field(aml::path("BUF0"), kNumberOffset, "IRQN"),
                        aml::store(aml::bit_and(route, aml::integer(0x0f)), aml::path("IRQN")),
                        aml::return_value(aml::path("BUF0"))}));
  const Bytes set =
      aml::method("_SRS", 1, true,
                  join({aml::create_dword_field(aml::argument(0), kNumberOffset, "IRQN"),
                        aml::store(aml::path("IRQN"), route)}));
  return aml::device(
      kLinks[index],
      join({hid("PNP0C0F"), uid(index),
            aml::name("_PRS", aml::resource_template({aml::shared_interrupts(choices)})), storage,
            status, disable, current, set}));
}

Bytes isa_devices(const AcpiDescription& description) {
  Bytes devices =
      aml::device("RTC", join({hid("PNP0B00"), crs({aml::io_ports(0x70, 2), aml::irq(8)})}));
  if (description.has_keyboard_controller) {
    devices = join(
        {devices,
         aml::device("KBD", join({hid("PNP0303"), crs({aml::io_ports(0x60, 1),
                                                       aml::io_ports(0x64, 1), aml::irq(1)})})),
         aml::device("MOU", join({hid("PNP0F13"), crs({aml::irq(12)})}))});
  }
  for (std::size_t i = 0; i < description.serial_ports.size(); ++i) {
    const auto& port = description.serial_ports[i];
    devices = join(
        {devices, aml::device(fmt::format("COM{}", i + 1),
                              join({hid("PNP0501"), uid(i + 1),
                                    crs({aml::io_ports(port.port, 8), aml::irq(port.irq)})}))});
  }
  return devices;
}

Bytes isa_bridge(const AcpiDescription& description) {
  return aml::device(
      "ISA",
      join({aml::name("_ADR", aml::integer(0x00010000)), aml::pci_config_region("PIRQ", 0x60, 4),
            aml::byte_fields("PIRQ", {kRoutes.begin(), kRoutes.end()}), isa_devices(description)}));
}

Bytes root_bridge(const AcpiDescription& description) {
  Bytes windows =
      join({aml::bus_numbers(0x00, 0xff), aml::io_ports(0xcf8, 8), aml::io_window(0x0000, 0x0cf7),
            aml::io_window(0x0d00, 0xffff), aml::memory_window32(0x000a0000, 0x000bffff, true),
            aml::memory_window32(description.pci_hole_begin, description.pci_hole_end - 1, false)});
  if (description.high_pci_hole_size) {
    windows = join({windows, aml::memory_window64(description.high_pci_hole_begin,
                                                  description.high_pci_hole_begin +
                                                      description.high_pci_hole_size - 1)});
  }
  return aml::device("PCI0", join({hid("PNP0A03"), uid(0), crs({windows}), routing_table(),
                                   isa_bridge(description)}));
}

/// The host bridge and what its interrupt lines are soldered to, or without PCI what stays: what is
/// on the ISA.
Bytes buses(const AcpiDescription& description) {
  if (!description.has_pci) return isa_devices(description);
  Bytes result = root_bridge(description);
  for (unsigned i = 0; i < kLinks.size(); ++i) result = join({result, link_device(i, description)});
  return result;
}

/// Ports that belong to no device a kernel has a driver for.
Bytes motherboard(const AcpiDescription& description) {
  return aml::device("MBRD", join({hid("PNP0C02"), uid(0),
                                   crs({aml::io_ports(description.pm_base, 0x40),
                                        aml::io_ports(0xb2, 2), aml::io_ports(0x92, 1)})}));
}

Bytes hpet(const AcpiDescription& description) {
  if (!description.has_hpet) return {};
  return aml::device("HPET",
                     join({hid("PNP0103"), uid(0),
                           crs({aml::fixed_memory(description.hpet_address, 0x400, false)})}));
}

/// Linux knows them by this name; there is no other for virtio over MMIO.
Bytes virtio_windows(const AcpiDescription& description) {
  Bytes result;
  for (std::size_t i = 0; i < description.virtio_windows.size(); ++i) {
    const auto& window = description.virtio_windows[i];
    result = join({result, aml::device(fmt::format("VIO{:X}", i),
                                       join({aml::name("_HID", aml::string("LNRO0005")), uid(i),
                                             crs({aml::fixed_memory(window.base, 0x1000, true),
                                                  aml::shared_interrupts({window.irq})})}))});
  }
  return result;
}

Bytes processors(const AcpiDescription& description) {
  Bytes result;
  for (std::size_t i = 0; i < description.apic_ids.size(); ++i) {
    result =
        join({result, aml::device(fmt::format("C{:03X}", i),
                                  join({aml::name("_HID", aml::string("ACPI0007")), uid(i)}))});
  }
  return result;
}

}  // namespace

Bytes build_dsdt_body(const AcpiDescription& description) {
  const Bytes soft_off =
      aml::package({aml::integer(description.soft_off_type),
                    aml::integer(description.soft_off_type), aml::integer(0), aml::integer(0)});
  return join(
      {aml::scope("\\_SB", join({buses(description), motherboard(description), hpet(description),
                                 virtio_windows(description), processors(description)})),
       aml::name("\\_S5", soft_off)});
}

}  // namespace vireo::devices
