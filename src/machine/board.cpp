#include "machine/board.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "machine/memory_layout.h"

namespace vireo::machine {

Board::Board(const BoardConfig& config, const Host& host, BoardRequests requests)
    : config_(config),
      requests_(std::move(requests)),
      memory_(host.memory),
      clock_(host.clock),
      pic_(intr_),
      io_apic_(apic_bus_),
      interrupts_(pic_, io_apic_),
      timer_gate_(interrupts_.source(0), interrupts_.source(8)),
      pit_(host.clock, host.timers, timer_gate_.pit()),
      rtc_(host.clock, host.timers, timer_gate_.rtc()),
      hpet_(host.clock, host.timers, hpet_wiring()),
      pm_timer_(host.clock, devices::PmTimer::Width::k32Bits),
      uart_(interrupts_.source(kSerialIrq), host.serial, host.clock, host.timers),
      keyboard_(interrupts_.source(1), interrupts_.source(12), requests_.reset),
      coprocessor_error_(interrupts_.source(devices::CoprocessorError::kIrq)),
      port92_(requests_.reset),
      isa_bridge_(pci_lines()),
      pci_(mmio_, pio_, isa_bridge_),
      host_bridge_(pci_, requests_.reset),
      pm_(interrupts_.source(devices::Piix4Pm::kSci), requests_.power_off),
      fw_cfg_(host.memory, {config_.memory_bytes, static_cast<std::uint16_t>(config_.cpus)}),
      virtio_({host.memory, host.io, apic_bus_, pci_, mmio_,
               [this](unsigned irq) -> bus::IrqLine& { return interrupts_.source(irq); }},
              config_.virtio_in_memory) {
  apic_bus_.set_ext_int_source(pic_);
  apic_bus_.add(io_apic_);
  for (unsigned cpu = 0; cpu < config_.cpus; ++cpu) {
    devices::LocalApic::Config apic;
    apic.id = cpu;
    apic.bootstrap = cpu == 0;
    apic.physical_address_bits = config_.physical_address_bits;
    apic.x2apic = config_.x2apic;
    apic.tsc_deadline = config_.tsc_deadline;
    pins_.push_back(std::make_unique<VcpuPins>());
    apics_.push_back(std::make_unique<devices::LocalApic>(apic, host.clock, host.timers, apic_bus_,
                                                          *pins_.back()));
    apic_bus_.add(*apics_.back());
  }
  kicker_.pins = &pins_;
  intr_.apics = &apics_;
  if (host.debug_console != nullptr) {
    debug_console_.emplace(*host.debug_console);
    if (config_.firmware) firmware_console_.emplace(*host.debug_console);
  }
  if (config_.ide) {
    using devices::Piix3Ide;
    ide_.emplace(
        std::array<bus::IrqLine*, Piix3Ide::kChannels>{&interrupts_.source(Piix3Ide::kIrqs[0]),
                                                       &interrupts_.source(Piix3Ide::kIrqs[1])},
        host.memory);
  }
  if (config_.firmware) host_bridge_.set_pam_listener([this] { protect_shadow_ram(); });
  if (config_.vga) vga_.emplace(host.clock, host.memory);
  if (config_.debug_exit) {
    debug_exit_.emplace(requests_.debug_exit);
    test_device_.emplace(test_lines());
  }
}

VcpuPort::Surroundings Board::surroundings() {
  return {apic_bus_, coprocessor_error_, mmio_, pio_, kicker_, memory_, clock_};
}

std::array<bus::IrqLine*, 16> Board::pci_lines() {
  // The interrupts that the bridge can route to. Intel 82371SB, 2.2.11.
  std::array<bus::IrqLine*, 16> lines{};
  for (const unsigned irq : {3u, 4u, 5u, 6u, 7u, 9u, 10u, 11u, 12u, 14u, 15u}) {
    lines.at(irq) = &interrupts_.source(irq);
  }
  return lines;
}

devices::Hpet::Wiring Board::hpet_wiring() {
  devices::Hpet::Wiring wiring;
  for (unsigned pin = 0; pin < devices::IoApic::kInputs; ++pin) {
    wiring.inputs.at(pin) = &interrupts_.pin_source(pin);
  }
  wiring.legacy = &timer_gate_;
  wiring.messages = &apic_bus_;
  return wiring;
}

std::array<bus::IrqLine*, devices::TestDevice::kLines> Board::test_lines() {
  std::array<bus::IrqLine*, devices::TestDevice::kLines> lines{};
  for (unsigned line = 0; line < lines.size(); ++line) {
    const bool isa = line < IsaInterrupts::kLines && line != 2;
    lines.at(line) = isa ? &interrupts_.source(line) : &interrupts_.pin_source(line);
  }
  return lines;
}

Result<> Board::attach_port(std::uint16_t base, std::uint16_t size, bus::BusDevice& device,
                            const char* name) {
  port_ranges_.push_back({base, size, name});
  return pio_.add(base, size, device, name);
}

std::string Board::port_name(unsigned port) const {
  for (const PortRange& range : port_ranges_) {
    if (port >= range.base && port < unsigned{range.base} + range.size) return range.name;
  }
  using devices::Piix4Pm;
  const unsigned pm = pm_.base();
  if (pm == 0 || port < pm || port >= pm + Piix4Pm::kBlockSize) return "unclaimed-ports";
  return port - pm >= Piix4Pm::kTimer && port - pm < Piix4Pm::kGpe0 ? "pm-timer" : "pm";
}

Result<> Board::attach() {
  using devices::DebugConsole, devices::DebugExit, devices::I440fx;
  TRY(attach_port(0x20, 2, pic_.master_ports(), "pic"));
  TRY(attach_port(0xa0, 2, pic_.slave_ports(), "pic"));
  TRY(attach_port(0x4d0, 2, pic_.elcr_ports(), "pic"));
  TRY(attach_port(0x40, 4, pit_, "pit"));
  TRY(attach_port(0x61, 1, pit_.port61(), "pit"));
  TRY(attach_port(0x70, 2, rtc_, "rtc"));
  TRY(attach_port(kSerialPort, devices::Uart16550::kRegisterCount, uart_, "serial"));
  TRY(attach_port(devices::Port92::kPort, 1, port92_, "port92"));
  TRY(attach_port(devices::CoprocessorError::kPort, 1, coprocessor_error_, "coprocessor-error"));
  TRY(attach_port(devices::PostPort::kPort, 1, post_, "post"));
  TRY(attach_port(I440fx::kPorts, I440fx::kPortCount, host_bridge_.config_ports(), "pci"));
  TRY(attach_port(devices::FwCfg::kPort, devices::FwCfg::kSize, fw_cfg_, "fw-cfg"));
  TRY(keyboard_.attach(pio_));
  port_ranges_.push_back({0x60, 5, "keyboard"});
  TRY(pm_.attach(pio_, pm_timer_));
  if (debug_console_) TRY(attach_port(DebugConsole::kPort, 1, *debug_console_, "debug-console"));
  if (firmware_console_) {
    TRY(attach_port(DebugConsole::kFirmwarePort, 1, *firmware_console_, "debug-console"));
  }
  if (debug_exit_) TRY(attach_port(DebugExit::kPort, DebugExit::kSize, *debug_exit_, "debug-exit"));
  if (test_device_) TRY(test_device_->attach(mmio_, pio_));
  TRY(mmio_.add(kIoApicBase, devices::IoApic::kWindowSize, io_apic_, "io-apic"));
  TRY(mmio_.add(kHpetBase, devices::Hpet::kWindowSize, hpet_, "hpet"));
  TRY(pci_.add(0, 0, host_bridge_));
  TRY(pci_.add(1, 0, isa_bridge_));
  if (ide_) TRY(attach_ide());
  if (vga_) TRY(attach_vga());
  return pci_.add(1, 3, pm_);
}

Result<> Board::attach_ide() {
  TRY(ide_->attach(pio_));
  for (unsigned i = 0; i < devices::Piix3Ide::kChannels; ++i) {
    port_ranges_.push_back(
        {devices::Piix3Ide::kCommandPorts.at(i), devices::IdeChannel::kCommandPorts, "ide"});
    port_ranges_.push_back({devices::Piix3Ide::kControlPorts.at(i), 1, "ide"});
  }
  return pci_.add(1, 1, *ide_);
}

Result<> Board::attach_vga() {
  TRY(vga_->attach(mmio_, pio_));
  port_ranges_.push_back({devices::Vga::kPorts, devices::Vga::kPortCount, "vga"});
  port_ranges_.push_back({devices::Vga::kVbePorts, devices::Vga::kVbePortCount, "vga"});
  return pci_.add(kVgaSlot, 0, *vga_);
}

Result<> Board::attach_flash(PhysAddr base, std::vector<std::byte> content,
                             devices::Flash::Keep keep) {
  flash_.emplace(std::move(content), std::move(keep));
  return mmio_.add(value(base), flash_->size(), *flash_, "flash");
}

void Board::reset() {
  pic_.reset();
  io_apic_.reset();
  pit_.reset();
  rtc_.reset();
  hpet_.reset();
  uart_.reset();
  keyboard_.reset();
  port92_.reset();
  coprocessor_error_.reset();
  fw_cfg_.reset();
  if (flash_) flash_->reset();
  pci_.reset();
  virtio_.reset();
  const std::uint64_t below = std::min(config_.memory_bytes, kDeviceHoleBase);
  rtc_.set_memory_size(below, config_.memory_bytes - below);
  if (!config_.firmware) {
    route_pci_interrupts();
    pm_.set_up();
  }
  for (const auto& apic : apics_) {
    apic->reset();
    apic->set_virtual_wire();
  }
}

void Board::drain() {
  for (unsigned i = 0; ide_ && i < devices::Piix3Ide::kChannels; ++i) ide_->channel(i).drain();
}

/// Shadow RAM holds what is in the ROM from the beginning, so the registers say only whether it can
/// be written: what is read is the same until then.
void Board::protect_shadow_ram() {
  constexpr std::uint64_t kSegment = 0x4000, kTop = 0xf'0000, kTopSize = 0x1'0000;
  constexpr unsigned kTopSegment = devices::I440fx::kSegments - 1;
  for (unsigned i = 0; i < kTopSegment; ++i)
    memory_.set_rom(PhysAddr{kShadowBase + i * kSegment}, kSegment, !host_bridge_.pam(i).write_ram);
  memory_.set_rom(PhysAddr{kTop}, kTopSize, !host_bridge_.pam(kTopSegment).write_ram);
}

/// As firmware leaves them: the lines routed to inputs of the PIC, those level triggered, and the
/// functions told. Kernels that read ACPI tables choose anew.
void Board::route_pci_interrupts() {
  constexpr std::uint16_t kEdgeLevelControl = 0x4d0;
  const auto& routes = devices::Piix3Isa::kDefaultRoutes;
  unsigned level = 0;
  for (const std::uint8_t irq : routes) level |= 1u << irq;
  isa_bridge_.route(routes);
  pci_.assign_interrupt_lines(routes);
  const std::array<std::byte, 2> bytes{std::byte(level & 0xff), std::byte(level >> 8)};
  pio_.write(kEdgeLevelControl, std::span(bytes).first(1));
  pio_.write(kEdgeLevelControl + 1, std::span(bytes).last(1));
}

}  // namespace vireo::machine
