#include "devices/platform/test_device.h"

#include <cstring>

namespace vireo::devices {

Result<> TestDevice::attach(bus::AddressMap& mmio, bus::AddressMap& pio) {
  TRY(pio.add(0xe0, 4, echo_ports_, "test register"));
  TRY(pio.add(0xe4, 4, flush_ports_, "test page flush"));
  TRY(pio.add(0xe8, 1, echo_bytes_, "test register bytes"));  // 0xe9 may be the debug console
  TRY(pio.add(0x2000, kLines, line_ports_, "test interrupt lines"));
  return mmio.add(kMemoryBase, kMemorySize, memory_window_, "test memory");
}

std::uint8_t TestDevice::read_echo(unsigned offset) {
  std::lock_guard lock(mutex_);
  return echo_.at(offset);
}
void TestDevice::write_echo(unsigned offset, std::uint8_t value) {
  std::lock_guard lock(mutex_);
  echo_.at(offset) = value;
}

void TestDevice::set_line(unsigned line, std::uint8_t level) {
  if (line < kLines && lines_[line]) lines_[line]->set_level(level != 0);
}

void TestDevice::read_memory(std::uint64_t offset, std::span<std::byte> data) {
  std::lock_guard lock(mutex_);
  std::memcpy(data.data(), &memory_.at(offset), data.size());
}
void TestDevice::write_memory(std::uint64_t offset, std::span<const std::byte> data) {
  std::lock_guard lock(mutex_);
  std::memcpy(&memory_.at(offset), data.data(), data.size());
}

}  // namespace vireo::devices
