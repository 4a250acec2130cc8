#pragma once
#include <cstdint>
#include <mutex>

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

/// Power management, device 01.3: Intel 82371AB (PIIX4), function 3, whose register block lies at
/// kBase and cannot be moved: firmware finds it already set up. Kernels use what the ACPI tables
/// tell. The power management timer at kTimer is a device of its own. Thread safe.
class Piix4Pm final : public bus::PciDevice {
 public:
  static constexpr std::uint16_t kBase = 0x600;
  static constexpr std::uint16_t kEvent = kBase, kControl = kBase + 4, kTimer = kBase + 8;
  static constexpr std::uint16_t kGpe0 = kBase + 0xc;  ///< two bytes of status, two of enable
  static constexpr std::uint16_t kSmiCommand = 0xb2;
  static constexpr std::uint8_t kAcpiEnable = 0xf1, kAcpiDisable = 0xf0;
  static constexpr std::uint8_t kSoftOff = 0;  ///< SLP_TYP of S5, the only sleep state there is
  static constexpr unsigned kSci = 9;

  /// `sci` is level triggered, active high.
  Piix4Pm(bus::IrqLine& sci, PowerOffRequest power_off);

  Result<> attach(bus::AddressMap& pio);
  /// Someone pressed the power button; the guest decides what that means. From any thread.
  void press_power_button();
  /// A general-purpose event, 0-15, happened.
  void raise_gpe(unsigned event);

  AcpiPmState state() const;
  Result<> restore(const AcpiPmState& state);

 private:
  std::uint8_t read_pm1(unsigned offset);
  void write_pm1(unsigned offset, std::uint8_t value);
  std::uint8_t read_gpe(unsigned offset);
  void write_gpe(unsigned offset, std::uint8_t value);
  std::uint8_t read_smi(unsigned offset);
  void write_smi(unsigned offset, std::uint8_t value);
  bool write_control(unsigned offset, std::uint8_t value);
  void update_sci();
  void on_reset() override;

  bus::IrqLine& sci_;
  PowerOffRequest power_off_;
  bus::ByteWindow<Piix4Pm> pm1_ports_{*this, &Piix4Pm::read_pm1, &Piix4Pm::write_pm1};
  bus::ByteWindow<Piix4Pm> gpe_ports_{*this, &Piix4Pm::read_gpe, &Piix4Pm::write_gpe};
  bus::ByteWindow<Piix4Pm> smi_ports_{*this, &Piix4Pm::read_smi, &Piix4Pm::write_smi};

  mutable std::mutex mutex_;  // taken before the locks of interrupt lines
  AcpiPmState state_;
};

}  // namespace vireo::devices
