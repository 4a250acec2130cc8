#include "support/recording_port.h"

#include <fmt/format.h>

#include <cstring>

namespace vireo::test {
namespace {

std::uint64_t number(std::span<const std::byte> data) {
  std::uint64_t result = 0;
  std::memcpy(&result, data.data(), std::min<std::size_t>(data.size(), 8));
  return result;
}

void fill(std::uint64_t address, std::span<std::byte> data) {
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<std::byte>((address + i + 1) & 0xff);
}

}  // namespace

void RecordingPort::record(const char* what, std::uint64_t address, std::span<const std::byte> data,
                           bool write) {
  if (!keep_log_) return;
  std::string line = fmt::format("{}{} {:#x}", what, data.size() * 8, address);
  if (write) line += fmt::format(" {:#x}", number(data));
  log.push_back(std::move(line));
}

void RecordingPort::mmio_read(PhysAddr address, std::span<std::byte> data) {
  fill(value(address), data);
  record("mmio-read", value(address), data, false);
}

void RecordingPort::mmio_write(PhysAddr address, std::span<const std::byte> data) {
  record("mmio-write", value(address), data, true);
}

void RecordingPort::pio_read(std::uint16_t port, std::span<std::byte> data) {
  fill(port, data);
  record("in", port, data, false);
}

void RecordingPort::pio_write(std::uint16_t port, std::span<const std::byte> data) {
  const auto byte = static_cast<std::uint8_t>(number(data));
  record("out", port, data, true);
  switch (port) {
    case 0xe0:
      raise(byte);
      break;
    case 0xe1:
      if (on_nmi) on_nmi();
      break;
    case 0xe2:
      at_halt_.push_back(byte);
      break;
    case 0xf0:
      ignne_ = ferr_;
      break;
    case 0xf4:
      stopped = true;
      if (on_stop) on_stop();
      break;
    default:
      break;
  }
}

void RecordingPort::set_ferr(bool asserted) {
  constexpr std::uint8_t kVector = 0x75;
  if (keep_log_) log.emplace_back(asserted ? "ferr asserted" : "ferr deasserted");
  if (asserted) raise(kVector);
  ferr_ = asserted;
  if (!asserted) ignne_ = false;
}

void RecordingPort::raise(std::uint8_t vector) {
  pending_.push_back(vector);
  if (on_interrupt) on_interrupt();
}

bool RecordingPort::halted() {
  if (at_halt_.empty()) return false;
  const std::uint8_t vector = at_halt_.front();
  at_halt_.pop_front();
  raise(vector);
  return true;
}

std::optional<std::uint8_t> RecordingPort::acknowledge_interrupt() {
  if (pending_.empty()) return std::nullopt;
  const std::uint8_t vector = pending_.front();
  pending_.pop_front();
  return vector;
}

std::optional<std::uint64_t> RecordingPort::read_msr(std::uint32_t index) {
  const auto found = msrs_.find(index);
  if (found == msrs_.end()) return std::nullopt;
  return found->second;
}

bool RecordingPort::write_msr(std::uint32_t index, std::uint64_t new_value) {
  const auto found = msrs_.find(index);
  if (found == msrs_.end()) return false;
  found->second = new_value;
  return true;
}

}  // namespace vireo::test
