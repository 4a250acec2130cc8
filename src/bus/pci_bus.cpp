#include "bus/pci_bus.h"

#include <algorithm>

namespace vireo::bus {

Result<> PciBus::add(unsigned device, unsigned function, PciDevice& pci_device) {
  if (device >= kDevices || function >= kFunctions)
    return usage_error("there is no PCI device {:02x}.{}", device, function);
  const unsigned devfn = device * kFunctions + function;
  if (functions_[devfn]) return usage_error("PCI device {:02x}.{} is taken", device, function);
  functions_[devfn] = &pci_device;
  pci_device.bus_ = this;
  pci_device.devfn_ = devfn;
  const auto first = functions_.begin() + device * kFunctions;
  const bool several = std::any_of(first + 1, first + kFunctions, [](auto* f) { return f; });
  constexpr unsigned kHeaderType = 0x0e;
  if (several && *first) (*first)->define8(kHeaderType, 0x80);
  return Unit{};
}

PciDevice* PciBus::find(std::uint32_t address) const {
  if ((address >> 16 & 0xff) != 0) return nullptr;
  return functions_[address >> 8 & 0xff];
}

void PciBus::config_read(std::uint32_t address, std::span<std::byte> data) {
  PciDevice* device = find(address);
  if (!device || (address & 0xff) + data.size() > 256) {
    std::ranges::fill(data, std::byte{0xff});
    return;
  }
  device->config_read(address & 0xff, data);
}

void PciBus::config_write(std::uint32_t address, std::span<const std::byte> data) {
  PciDevice* device = find(address);
  if (device && (address & 0xff) + data.size() <= 256) device->config_write(address & 0xff, data);
}

void PciBus::reset() {
  for (PciDevice* device : functions_) {
    if (device) device->reset();
  }
}

void PciBus::assign_interrupt_lines(const std::array<std::uint8_t, 4>& interrupts) {
  for (PciDevice* device : functions_) {
    if (device) device->assign_interrupt_line(interrupts);
  }
}

/// First every window that is no longer wanted goes, then those wanted come: so windows can change
/// places. A window on top of another stays away until there is room.
void PciBus::update_windows() {
  std::lock_guard lock(windows_mutex_);
  for (const bool adding : {false, true}) {
    for (PciDevice* device : functions_) {
      for (unsigned i = 0; device && i < device->bars_.size(); ++i) {
        auto& bar = device->bars_[i];
        if (!bar) continue;
        const auto wanted = device->decoded_address(i);
        if (wanted == bar->mapped) continue;
        if (!adding && bar->mapped) {
          map_of(bar->kind).remove(*bar->mapped);
          bar->mapped.reset();
        }
        if (adding && wanted && map_of(bar->kind).add(*wanted, bar->size, *bar->window, bar->name))
          bar->mapped = wanted;
      }
    }
  }
}

void PciBus::set_intx(unsigned devfn, unsigned pin, bool high) {
  const unsigned pirq = pirq_of(devfn / kFunctions, pin);
  std::lock_guard lock(intx_mutex_);
  if (asserted_[pirq].test(devfn) == high) return;
  asserted_[pirq].set(devfn, high);
  interrupts_.set_pirq(pirq, asserted_[pirq].any());
}

}  // namespace vireo::bus
