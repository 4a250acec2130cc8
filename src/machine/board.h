#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/character/char_backend.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "bus/address_map.h"
#include "bus/pci_bus.h"
#include "devices/display/vga.h"
#include "devices/firmware/flash.h"
#include "devices/firmware/fw_cfg.h"
#include "devices/ide/piix3_ide.h"
#include "devices/input/i8042.h"
#include "devices/irqchip/apic_bus.h"
#include "devices/irqchip/i8259.h"
#include "devices/irqchip/io_apic.h"
#include "devices/irqchip/local_apic.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/piix3_isa.h"
#include "devices/pci/piix4_pm.h"
#include "devices/platform/coprocessor_error.h"
#include "devices/platform/debug_ports.h"
#include "devices/platform/test_device.h"
#include "devices/serial/uart16550.h"
#include "devices/timer/cmos_rtc.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254.h"
#include "devices/timer/legacy_timer_gate.h"
#include "devices/timer/pm_timer.h"
#include "machine/isa_interrupts.h"
#include "machine/vcpu_port.h"
#include "machine/virtio_slots.h"

namespace vireo::machine {

inline constexpr std::uint64_t kIoApicBase = 0xfec0'0000;
inline constexpr std::uint64_t kHpetBase = 0xfed0'0000;
inline constexpr std::uint16_t kSerialPort = 0x3f8;
inline constexpr unsigned kSerialIrq = 4;
inline constexpr unsigned kVgaSlot = 2;

/// What the guest asks of the machine through a device. Called on a vCPU thread in the middle of
/// the access: they only take note.
struct BoardRequests {
  std::function<void()> reset;
  std::function<void()> power_off;
  std::function<void(std::uint32_t)> debug_exit;
};

/// What the board of a machine looks like.
struct BoardConfig {
  unsigned cpus = 1;
  std::uint64_t memory_bytes = 0;
  unsigned physical_address_bits = 40;
  bool x2apic = true;
  bool tsc_deadline = true;
  bool debug_exit = false;
  bool ide = false, vga = false;
  bool firmware = false;  ///< sets the chipset up by itself; otherwise the board is as it leaves it
  bool virtio_in_memory = false;  ///< virtio devices are behind windows, not in PCI slots
};

/// The PC's main board without CPUs and memory: interrupt controllers, timers, the chipset and the
/// legacy devices, and how they are wired. The only place that knows ports and lines.
class Board {
 public:
  /// What it stands on; all of it outlives the board. `debug_console` may be null.
  struct Host {
    const Clock& clock;
    TimerService& timers;
    EventLoop& io;
    memory::GuestMemory& memory;
    backends::CharBackend& serial;
    backends::CharBackend* debug_console;
  };
  Board(const BoardConfig& config, const Host& host, BoardRequests requests);

  /// Puts the devices on the buses; once.
  Result<> attach();
  /// Flash memory for what firmware remembers.
  Result<> attach_flash(PhysAddr base, std::vector<std::byte> content, devices::Flash::Keep keep);
  /// Everything as after power-on, and without firmware then as firmware leaves it for a kernel.
  void reset();

  bus::AddressMap& mmio() { return mmio_; }
  bus::AddressMap& pio() { return pio_; }
  devices::LocalApic& apic(unsigned cpu) { return *apics_.at(cpu); }
  devices::ApicBus& apic_bus() { return apic_bus_; }
  VcpuPort::Surroundings surroundings();
  VirtioSlots& virtio() { return virtio_; }
  const VirtioSlots& virtio() const { return virtio_; }
  devices::FwCfg& fw_cfg() { return fw_cfg_; }
  const devices::Vga* vga() const { return vga_ ? &*vga_ : nullptr; }
  devices::I8042& keyboard() { return keyboard_; }
  devices::Piix3Ide* ide() { return ide_ ? &*ide_ : nullptr; }
  VcpuPins& pins(unsigned cpu) { return *pins_.at(cpu); }
  void press_power_button() { pm_.press_power_button(); }
  /// Where the power management registers are now; see Piix4Pm::base().
  std::uint16_t pm_base() const { return pm_.base(); }

  /// Waits for what IDE drives have under way, before what they interrupt goes. No virtual CPU
  /// runs.
  void drain();

  /// Who is behind a port, for accounts of accesses.
  std::string port_name(unsigned port) const;

 private:
  struct Intr final : bus::IrqLine {  // the PIC's output, to LINT0 of every local APIC
    void set_level(bool high) override {
      for (const auto& apic : *apics) apic->lint0().set_level(high);
    }
    const std::vector<std::unique_ptr<devices::LocalApic>>* apics = nullptr;
  };

  struct Kicker final : CpuKicker {
    void kick(std::uint32_t apic_id) override {
      if (apic_id < pins->size()) (*pins)[apic_id]->end_halt();
    }
    const std::vector<std::unique_ptr<VcpuPins>>* pins = nullptr;
  };

  Result<> attach_port(std::uint16_t base, std::uint16_t size, bus::BusDevice& device,
                       const char* name);
  Result<> attach_ide();
  Result<> attach_vga();
  std::array<bus::IrqLine*, 16> pci_lines();
  void route_pci_interrupts();
  void protect_shadow_ram();
  devices::Hpet::Wiring hpet_wiring();
  std::array<bus::IrqLine*, devices::TestDevice::kLines> test_lines();

  struct PortRange {
    std::uint16_t base, size;
    const char* name;
  };

  const BoardConfig config_;
  BoardRequests requests_;
  memory::GuestMemory& memory_;
  const Clock& clock_;
  std::vector<PortRange> port_ranges_;

  // Wired from the CPUs outwards; destroyed in the opposite order.
  bus::AddressMap mmio_, pio_;
  devices::ApicBus apic_bus_;
  std::vector<std::unique_ptr<VcpuPins>> pins_;
  Kicker kicker_;
  std::vector<std::unique_ptr<devices::LocalApic>> apics_;
  Intr intr_;
  devices::Pic pic_;
  devices::IoApic io_apic_;
  IsaInterrupts interrupts_;
  devices::LegacyTimerGate timer_gate_;
  devices::Pit pit_;
  devices::CmosRtc rtc_;
  devices::Hpet hpet_;
  devices::PmTimer pm_timer_;
  devices::Uart16550 uart_;
  devices::I8042 keyboard_;
  devices::CoprocessorError coprocessor_error_;
  devices::Port92 port92_;
  devices::PostPort post_;
  devices::Piix3Isa isa_bridge_;
  bus::PciBus pci_;
  devices::I440fx host_bridge_;
  devices::Piix4Pm pm_;
  devices::FwCfg fw_cfg_;
  VirtioSlots virtio_;
  std::optional<devices::Piix3Ide> ide_;
  std::optional<devices::Vga> vga_;
  std::optional<devices::Flash> flash_;
  std::optional<devices::DebugConsole> debug_console_;
  std::optional<devices::DebugConsole> firmware_console_;
  std::optional<devices::DebugExit> debug_exit_;
  std::optional<devices::TestDevice> test_device_;
};

}  // namespace vireo::machine
