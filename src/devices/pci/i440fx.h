#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <mutex>

#include "bus/pci_bus.h"
#include "bus/pci_device.h"
#include "bus/window.h"
#include "devices/platform/requests.h"

namespace vireo::devices {

/// How one 16 KiB piece of 0xc0000-0xfffff behaves. Intel 82441FX data sheet, 3.2.18.
struct PamSegment {
  bool read_ram;
  bool write_ram;
};

/// The host bridge, device 00.0: Intel 82441FX (PMC), and the configuration ports 0xcf8-0xcff of
/// PCI Local Bus 3.0, 3.2.2.3.2, with the reset control register 0xcf9 of the PIIX3 in their midst.
class I440fx final : public bus::PciDevice {
 public:
  static constexpr std::uint16_t kPorts = 0xcf8;
  static constexpr std::uint64_t kPortCount = 8;
  static constexpr unsigned kSegments =
      13;  ///< twelve of 16 KiB from 0xc0000, then 0xf0000-0xfffff

  I440fx(bus::PciBus& bus, ResetRequest reset);

  /// To be put at kPorts.
  bus::BusDevice& config_ports() { return ports_; }
  /// Told after the guest wrote a PAM register; set while the machine is built.
  void set_pam_listener(std::function<void()> listener) { pam_listener_ = std::move(listener); }
  PamSegment pam(unsigned segment) const;

  struct State {
    std::uint32_t address = 0;
    std::uint8_t reset_control = 0;
    bool operator==(const State&) const = default;
    static void fields(auto& self, auto&& visit) {
      auto& [address, reset_control] = self;
      visit("address", address), visit("reset_control", reset_control);
    }
  };
  State state() const;
  Result<> restore(const State& state);

 private:
  void read_ports(std::uint64_t offset, std::span<std::byte> data);
  void write_ports(std::uint64_t offset, std::span<const std::byte> data);
  void write_reset_control(std::uint8_t value);
  std::optional<std::uint32_t> target(std::uint64_t offset) const;
  void on_config_written(unsigned offset, unsigned size) override;
  void on_reset() override;

  bus::PciBus& bus_;
  ResetRequest reset_request_;
  std::function<void()> pam_listener_;
  bus::Window<I440fx> ports_{*this, &I440fx::read_ports, &I440fx::write_ports};

  mutable std::mutex mutex_;  // not held while anything else is called
  State state_;
};

}  // namespace vireo::devices
