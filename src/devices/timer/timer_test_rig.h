#pragma once
#include <cstdint>
#include <cstring>
#include <span>

#include "bus/bus_device.h"
#include "bus/irq_line.h"
#include "support/fake_clock.h"

namespace vireo::devices::test {

/// An interrupt line that counts its edges.
struct EdgeCounter final : bus::IrqLine {
  void set_level(bool high) override {
    if (high && !level) ++rises;
    level = high;
  }
  bool level = false;
  int rises = 0;
};

template <class T>
T get(bus::BusDevice& device, std::uint64_t offset) {
  T value{};
  device.read(offset, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}
template <class T>
void put(bus::BusDevice& device, std::uint64_t offset, T value) {
  device.write(offset, std::as_bytes(std::span(&value, 1)));
}

}  // namespace vireo::devices::test
