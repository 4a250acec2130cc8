#pragma once
#include <array>
#include <cstdint>
#include <mutex>

#include "bus/irq_line.h"
#include "bus/pci_bus.h"
#include "bus/pci_device.h"

namespace vireo::devices {

/// The ISA bridge, device 01.0: Intel 82371SB (PIIX3), function 0. Its PIRQ route control registers
/// 0x60-0x63 say which ISA interrupt each of the four PCI lines is. Data sheet 290550, 2.2.
class Piix3Isa final : public bus::PciDevice, public bus::PirqSink {
 public:
  /// `lines[n]` is ISA interrupt n (also I/O APIC input n); null where none can be routed. An input
  /// that other devices use as well needs a bus::SharedIrqLine. All outlive the bridge.
  explicit Piix3Isa(std::array<bus::IrqLine*, 16> lines);

  void set_pirq(unsigned pirq, bool high) override;
  /// What firmware does with the registers; for machines that boot a kernel without one.
  void route(const std::array<std::uint8_t, 4>& interrupts);
  static constexpr std::array<std::uint8_t, 4> kDefaultRoutes{10, 11, 10, 11};

 private:
  void on_config_written(unsigned offset, unsigned size) override;
  void on_reset() override;
  void update_lines();

  std::array<bus::IrqLine*, 16> lines_;
  std::mutex mutex_;  // taken before the locks of interrupt lines
  std::uint8_t pirqs_ = 0;
  std::uint16_t driven_ = 0;  // the lines that are high because of us
  std::array<std::uint8_t, 4> routes_{};
};

}  // namespace vireo::devices
