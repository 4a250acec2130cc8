#pragma once
#include <array>
#include <bitset>
#include <cstdint>
#include <mutex>
#include <span>

#include "base/result.h"
#include "bus/address_map.h"
#include "bus/pci_device.h"

namespace vireo::bus {

/// Takes the four interrupt lines of a PCI bus, 0-3 for PIRQA#-PIRQD#, each shared by many
/// functions. Callable from any thread; never calls back.
class PirqSink {
 public:
  virtual ~PirqSink() = default;
  virtual void set_pirq(unsigned pirq, bool high) = 0;
};

/// Bus 0 with 32 devices of 8 functions. Functions are added while the machine is built and outlive
/// the bus; everything else is thread safe.
class PciBus {
 public:
  static constexpr unsigned kDevices = 32, kFunctions = 8;

  PciBus(AddressMap& mmio, AddressMap& pio, PirqSink& interrupts)
      : mmio_(mmio), pio_(pio), interrupts_(interrupts) {}

  /// A usage error if the place is taken or does not exist. Marks function 0 as one of several.
  Result<> add(unsigned device, unsigned function, PciDevice& pci_device);

  /// `address` as in the CONFIG_ADDRESS register: bus << 16 | device << 11 | function << 8 |
  /// offset. What is not there reads as all ones. The access stays inside one double word.
  void config_read(std::uint32_t address, std::span<std::byte> data);
  void config_write(std::uint32_t address, std::span<const std::byte> data);
  void reset();
  /// What firmware does with the interrupt line registers: tells each function's driver at which of
  /// the PIC's inputs its pin arrives, for those who ask no tables. One entry per PIRQ line.
  void assign_interrupt_lines(const std::array<std::uint8_t, 4>& interrupts);

  /// Which PIRQ line a pin (1 for INTA#) of a device is soldered to.
  static constexpr unsigned pirq_of(unsigned device, unsigned pin) {
    return (device + pin + 2) % 4;  // device 1, INTA# -> PIRQA#
  }

  // For PciDevice.
  void update_windows();
  void set_intx(unsigned devfn, unsigned pin, bool high);

 private:
  PciDevice* find(std::uint32_t address) const;
  AddressMap& map_of(BarKind kind) { return kind == BarKind::kIo ? pio_ : mmio_; }

  AddressMap& mmio_;
  AddressMap& pio_;
  PirqSink& interrupts_;
  std::array<PciDevice*, kDevices * kFunctions> functions_{};

  std::mutex windows_mutex_;  // taken before the lock of a function
  std::mutex intx_mutex_;     // taken after it
  std::array<std::bitset<kDevices * kFunctions>, 4> asserted_;
};

}  // namespace vireo::bus
