#pragma once
#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "bus/address_map.h"
#include "bus/irq_line.h"
#include "bus/window.h"

namespace vireo::devices {

/// What the public CPU test suites expect of a PC made for testing, present only beside the debug
/// exit port:
///   port 0xe0-0xe3    a register of four bytes that reads back, in any width
///   port 0xe4-0xe7    takes the address of a page to forget; nothing is remembered, so nothing to
///   do port 0xe8-0xeb    the same register, byte by byte port 0x2000+n     a byte written is the
///   level of interrupt line n, n below 24 memory 0xff000000 64 KiB that only devices can have:
///   every access leaves the CPU
/// Thread safe.
class TestDevice {
 public:
  static constexpr unsigned kLines = 24;
  static constexpr std::uint64_t kMemoryBase = 0xff000000;
  static constexpr std::uint64_t kMemorySize = 0x10000;

  /// `lines[n]` is line n; null: not connected. All outlive the device.
  explicit TestDevice(std::array<bus::IrqLine*, kLines> lines)
      : lines_(lines), memory_(kMemorySize) {}

  Result<> attach(bus::AddressMap& mmio, bus::AddressMap& pio);

 private:
  std::uint8_t read_echo(unsigned offset);
  void write_echo(unsigned offset, std::uint8_t value);
  std::uint8_t read_nothing(unsigned) { return 0xff; }
  void drop(unsigned, std::uint8_t) {}
  void set_line(unsigned line, std::uint8_t level);
  void read_memory(std::uint64_t offset, std::span<std::byte> data);
  void write_memory(std::uint64_t offset, std::span<const std::byte> data);

  std::array<bus::IrqLine*, kLines> lines_;
  std::mutex mutex_;
  std::array<std::uint8_t, 4> echo_{};
  std::vector<std::byte> memory_;

  bus::ByteWindow<TestDevice> echo_ports_{*this, &TestDevice::read_echo, &TestDevice::write_echo};
  bus::ByteWindow<TestDevice> flush_ports_{*this, &TestDevice::read_nothing, &TestDevice::drop};
  bus::ByteWindow<TestDevice> echo_bytes_{*this, &TestDevice::read_echo, &TestDevice::write_echo};
  bus::ByteWindow<TestDevice> line_ports_{*this, &TestDevice::read_nothing, &TestDevice::set_line};
  bus::Window<TestDevice> memory_window_{*this, &TestDevice::read_memory,
                                         &TestDevice::write_memory};
};

}  // namespace vireo::devices
