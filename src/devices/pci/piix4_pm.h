#pragma once
#include <cstdint>
#include <mutex>
#include <span>

#include "base/result.h"
#include "bus/address_map.h"
#include "bus/irq_line.h"
#include "bus/pci_device.h"
#include "bus/window.h"
#include "devices/platform/requests.h"

namespace vireo::devices {

/// The ACPI fixed hardware registers. ACPI 6.4, 4.8.3.
struct AcpiPmState {
  std::uint16_t pm1_status = 0;
  std::uint16_t pm1_enable = 0;
  std::uint16_t pm1_control = 0;
  std::uint16_t gpe_status = 0;
  std::uint16_t gpe_enable = 0;
  std::uint8_t smi_command = 0;
  std::uint8_t smi_data = 0;

  bool operator==(const AcpiPmState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [status, enable, control, gpe_status, gpe_enable, command, data] = self;
    visit("pm1_status", status), visit("pm1_enable", enable), visit("pm1_control", control);
    visit("gpe_status", gpe_status), visit("gpe_enable", gpe_enable);
    visit("smi_command", command), visit("smi_data", data);
  }
};

/// Power management, device 01.3: Intel 82371AB (PIIX4), function 3. After a reset its block of
/// registers is nowhere: firmware puts it into the I/O ports (PMBASE) and enables it (PMREGMISC),
/// and kernels use what the ACPI tables tell. The power management timer in its midst is a device
/// of its own. Thread safe.
class Piix4Pm final : public bus::PciDevice {
 public:
  static constexpr std::uint16_t kUsualBase = 0x600;
  static constexpr std::uint16_t kBlockSize = 0x40;
  // Places in the block; the rest reads as zeroes.
  static constexpr std::uint16_t kEvent = 0, kControl = 4, kTimer = 8;
  static constexpr std::uint16_t kGpe0 = 0xc;  ///< two bytes of status, two of enable
  static constexpr std::uint16_t kSmiCommand = 0xb2;
  static constexpr std::uint8_t kAcpiEnable = 0xf1, kAcpiDisable = 0xf0;
  static constexpr std::uint8_t kSoftOff = 0;  ///< SLP_TYP of S5, the only sleep state there is
  static constexpr unsigned kSci = 9;

  /// `sci` is level triggered, active high.
  Piix4Pm(bus::IrqLine& sci, PowerOffRequest power_off);

  /// Both outlive it.
  Result<> attach(bus::AddressMap& pio, bus::BusDevice& timer);
  /// What firmware does: puts the block at kUsualBase.
  void set_up();
  /// The port at which the block begins; 0: it is nowhere.
  std::uint16_t base() const;
  /// Someone pressed the power button; the guest decides what that means. From any thread.
  void press_power_button();
  /// A general-purpose event, 0-15, happened.
  void raise_gpe(unsigned event);

  AcpiPmState state() const;
  Result<> restore(const AcpiPmState& state);

 private:
  void read_block(std::uint64_t offset, std::span<std::byte> data);
  void write_block(std::uint64_t offset, std::span<const std::byte> data);
  std::uint8_t read_pm1(unsigned offset);
  void write_pm1(unsigned offset, std::uint8_t value);
  std::uint8_t read_gpe(unsigned offset);
  void write_gpe(unsigned offset, std::uint8_t value);
  std::uint8_t read_smi(unsigned offset);
  void write_smi(unsigned offset, std::uint8_t value);
  bool write_control(unsigned offset, std::uint8_t value);
  void update_sci();
  void place();
  void on_config_written(unsigned offset, unsigned size) override;
  void on_reset() override;

  bus::IrqLine& sci_;
  PowerOffRequest power_off_;
  bus::Window<Piix4Pm> block_{*this, &Piix4Pm::read_block, &Piix4Pm::write_block};
  bus::ByteWindow<Piix4Pm> smi_ports_{*this, &Piix4Pm::read_smi, &Piix4Pm::write_smi};

  bus::AddressMap* pio_ = nullptr;
  bus::BusDevice* timer_ = nullptr;

  mutable std::mutex place_mutex_;  // guards base_; taken before the lock of the ports
  std::uint16_t base_ = 0;
  mutable std::mutex mutex_;  // guards state_; taken before the locks of interrupt lines
  AcpiPmState state_;
};

}  // namespace vireo::devices
