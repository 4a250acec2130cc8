#pragma once
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "bus/address_map.h"
#include "bus/pci_device.h"
#include "bus/window.h"
#include "devices/display/vga_screen.h"
#include "devices/display/vga_state.h"
#include "memory/guest_memory.h"

namespace vireo::devices {

/// A display adapter: the VGA of the PC with the Bochs VBE extensions, as a PCI function whose
/// linear frame buffer is behind base address register 0, and its registers also behind register 2.
/// IBM VGA Technical Reference (1992). The video BIOS is the firmware's to bring. Thread safe.
class Vga final : public bus::PciDevice {
 public:
  static constexpr std::size_t kMemory = 16 << 20;
  static constexpr std::uint16_t kPorts = 0x3b0, kVbePorts = 0x1ce;
  static constexpr std::uint64_t kPortCount = 0x30, kVbePortCount = 3;
  static constexpr std::uint64_t kWindow = 0xa'0000, kWindowSize = 0x2'0000;

  /// The clock says where the beam is. `memory` has kMemory bytes of a device's memory: this one's,
  /// which the guest finds there where it puts the linear frame buffer. Both outlive it.
  Vga(const Clock& clock, memory::GuestMemory& memory);

  /// The ports and the window at 0xa0000.
  Result<> attach(bus::AddressMap& mmio, bus::AddressMap& pio);

  /// What is on the screen now. From any thread.
  Picture picture() const;
  /// The same as lines of UTF-8 without trailing spaces; none unless it is in a text mode.
  std::vector<std::string> text() const;

  VgaState state() const;
  std::vector<std::uint8_t> memory() const;
  /// A usage error unless the memory has kMemory bytes.
  Result<> restore(const VgaState& state, std::span<const std::uint8_t> memory);

 private:
  std::uint8_t read_port(unsigned offset);
  void write_port(unsigned offset, std::uint8_t value);
  void read_vbe_ports(std::uint64_t offset, std::span<std::byte> data);
  void write_vbe_ports(std::uint64_t offset, std::span<const std::byte> data);
  std::uint8_t read_window(unsigned offset);
  void write_window(unsigned offset, std::uint8_t value);
  void read_frame_buffer(std::uint64_t offset, std::span<std::byte> data);
  void write_frame_buffer(std::uint64_t offset, std::span<const std::byte> data);
  void read_registers(std::uint64_t offset, std::span<std::byte> data);
  void write_registers(std::uint64_t offset, std::span<const std::byte> data);
  void place_frame_buffer();
  void on_config_written(unsigned offset, unsigned size) override;
  void on_reset() override;

  // With the lock held.
  std::uint8_t input_status();
  std::uint8_t read_palette();
  void write_palette(std::uint8_t value);
  void write_attribute(std::uint8_t value);
  void write_crtc(std::uint8_t value);
  std::uint16_t read_vbe(unsigned index) const;
  void write_vbe(unsigned index, std::uint16_t value);
  void enable_vbe(std::uint16_t value);
  void update_virtual_size();

  // Wiring.
  const Clock& clock_;
  memory::GuestMemory& guest_memory_;
  bus::ByteWindow<Vga> ports_{*this, &Vga::read_port, &Vga::write_port};
  bus::Window<Vga> vbe_ports_{*this, &Vga::read_vbe_ports, &Vga::write_vbe_ports};
  bus::ByteWindow<Vga> window_{*this, &Vga::read_window, &Vga::write_window};
  bus::Window<Vga> frame_buffer_{*this, &Vga::read_frame_buffer, &Vga::write_frame_buffer};
  bus::Window<Vga> registers_{*this, &Vga::read_registers, &Vga::write_registers};

  mutable std::mutex mutex_;  // a leaf
  VgaState state_;
  const std::span<std::uint8_t> memory_;  // which a guest may be writing to, too
};

}  // namespace vireo::devices
