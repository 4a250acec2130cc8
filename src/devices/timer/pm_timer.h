#pragma once
#include <cstdint>

#include "base/clock.h"
#include "bus/access_split.h"
#include "bus/bus_device.h"
#include "devices/timer/tick_rate.h"

namespace vireo::devices {

/// The ACPI power-management timer: a read-only counter of 3.579545 MHz. ACPI 6.5, 4.8.3.3.
/// It has no state but the clock's. Thread safe.
class PmTimer final : public bus::BusDevice {
 public:
  static constexpr std::uint64_t kHz = 3'579'545;
  enum class Width : std::uint8_t { k24Bits = 24, k32Bits = 32 };

  PmTimer(const Clock& clock, Width width) : clock_(clock), width_(width) {}

  std::uint32_t count() const {
    const auto ticks = static_cast<std::uint32_t>(TickRate(kHz).ticks_at(clock_.now_ns()));
    return width_ == Width::k24Bits ? ticks & 0xffffff : ticks;
  }
  // 4 ports.
  void read(std::uint64_t offset, std::span<std::byte> data) override {
    bus::from_number(data, offset < 4 ? count() >> (8 * offset) : 0);
  }
  void write(std::uint64_t, std::span<const std::byte>) override {}

 private:
  const Clock& clock_;
  const Width width_;
};

}  // namespace vireo::devices
