#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "bus/address_map.h"
#include "bus/pci_device.h"
#include "bus/window.h"
#include "devices/ide/ide_channel.h"

namespace vireo::devices {

/// The IDE controller, device 01.1: Intel 82371SB (PIIX3), function 1. Two channels at the ports of
/// the PC AT, and a bus master for each behind base address register 4. Data sheet 290550, 2.3.
class Piix3Ide final : public bus::PciDevice {
 public:
  static constexpr unsigned kChannels = 2;
  static constexpr std::array<std::uint16_t, kChannels> kCommandPorts{0x1f0, 0x170},
      kControlPorts{0x3f6, 0x376};
  static constexpr std::array<unsigned, kChannels> kIrqs{14, 15};

  /// All outlive it.
  Piix3Ide(const std::array<bus::IrqLine*, kChannels>& lines, memory::GuestMemory& memory);

  /// The ports of the PC AT.
  Result<> attach(bus::AddressMap& pio);
  IdeChannel& channel(unsigned index) { return *channels_.at(index); }

 private:
  void read_master(std::uint64_t offset, std::span<std::byte> data);
  void write_master(std::uint64_t offset, std::span<const std::byte> data);
  void on_reset() override;

  std::array<std::unique_ptr<IdeChannel>, kChannels> channels_;
  bus::Window<Piix3Ide> master_{*this, &Piix3Ide::read_master, &Piix3Ide::write_master};
};

}  // namespace vireo::devices
