#include "devices/platform/debug_ports.h"

#include <algorithm>

#include "bus/access_split.h"

namespace vireo::devices {

void DebugConsole::read(std::uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0xe9});
}
void DebugConsole::write(std::uint64_t, std::span<const std::byte> data) {
  output_.write({reinterpret_cast<const std::uint8_t*>(data.data()), data.size()});
}

void DebugExit::read(std::uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
}
void DebugExit::write(std::uint64_t, std::span<const std::byte> data) {
  if (request_) request_(static_cast<std::uint32_t>(bus::to_number(data)));
}

void PostPort::read(std::uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{code_.load()});
}
void PostPort::write(std::uint64_t, std::span<const std::byte> data) {
  code_ = std::to_integer<std::uint8_t>(data[0]);
}

}  // namespace vireo::devices
