#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/assert.h"
#include "devices/irqchip/apic_bus.h"
#include "devices/irqchip/io_apic.h"
#include "devices/irqchip/irq_fan_out.h"
#include "devices/irqchip/local_apic.h"
#include "support/fake_clock.h"

namespace vireo::devices::test {

/// A CPU's pins, counted.
struct FakeCpu final : CpuSignals {
  void interrupt() override { ++interrupts; }
  void nmi() override { ++nmis; }
  void init() override { ++inits; }
  void startup(std::uint8_t vector) override { startups.push_back(vector); }
  int interrupts = 0;
  int nmis = 0;
  int inits = 0;
  std::vector<std::uint8_t> startups;
};

struct FakeLine final : bus::IrqLine {
  void set_level(bool high) override {
    if (high && !level) ++rises;
    level = high;
  }
  bool level = false;
  int rises = 0;
};

struct FakePic final : ExtIntSource {
  std::optional<std::uint8_t> acknowledge() override {
    ++acknowledged;
    return vector;
  }
  std::optional<std::uint8_t> vector = 0x30;
  int acknowledged = 0;
};

inline std::uint32_t read32(bus::BusDevice& device, std::uint64_t offset) {
  std::array<std::byte, 4> data{};
  device.read(offset, data);
  std::uint32_t value = 0;
  std::memcpy(&value, data.data(), 4);
  return value;
}
inline void write32(bus::BusDevice& device, std::uint64_t offset, std::uint32_t value) {
  device.write(offset, std::as_bytes(std::span(&value, 1)));
}
inline std::uint8_t read8(bus::BusDevice& device, std::uint64_t offset) {
  std::array<std::byte, 1> data{};
  device.read(offset, data);
  return std::to_integer<std::uint8_t>(data[0]);
}
inline void write8(bus::BusDevice& device, std::uint64_t offset, std::uint8_t value) {
  device.write(offset, std::as_bytes(std::span(&value, 1)));
}

/// Local APICs with ids 0, 1, ..., an I/O APIC and a PIC that always answers.
struct ApicRig {
  static constexpr std::uint64_t kBase = 0xfee00000;

  explicit ApicRig(unsigned cpus = 1, bool x2apic_supported = true) {
    bus.set_ext_int_source(pic);
    bus.add(io_apic);
    for (unsigned id = 0; id < cpus; ++id) {
      LocalApic::Config config;
      config.id = id;
      config.bootstrap = id == 0;
      config.x2apic = x2apic_supported;
      signals.push_back(std::make_unique<FakeCpu>());
      apics.push_back(std::make_unique<LocalApic>(config, clock, clock, bus, *signals.back()));
      bus.add(*apics.back());
      write(0xf0, 0x1ff, id);  // software enable, spurious vector 0xff
    }
  }

  LocalApic& apic(unsigned cpu = 0) { return *apics[cpu]; }
  FakeCpu& cpu(unsigned n = 0) { return *signals[n]; }

  std::uint32_t read(std::uint64_t offset, unsigned cpu = 0) {
    std::uint32_t value = 0xffffffff;  // what the bus answers
    apic(cpu).mmio_read(kBase + offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void write(std::uint64_t offset, std::uint32_t value, unsigned cpu = 0) {
    apic(cpu).mmio_write(kBase + offset, std::as_bytes(std::span(&value, 1)));
  }
  bool bit(std::uint64_t first_register, unsigned vector, unsigned cpu = 0) {
    return read(first_register + vector / 32 * 0x10, cpu) >> (vector % 32) & 1;
  }
  void send_ipi(std::uint32_t low, std::uint8_t destination, unsigned from = 0) {
    write(0x310, std::uint32_t{destination} << 24, from);
    write(0x300, low, from);
  }
  void enter_x2apic(unsigned cpu = 0) {
    const auto base = *apic(cpu).read_msr(0x1b);
    VIREO_ASSERT(apic(cpu).write_msr(0x1b, base | 0xc00));
  }
  /// What the CPU takes now, 0 for nothing.
  unsigned take(unsigned cpu = 0) {
    if (!apic(cpu).interrupt_pending()) return 0;
    return apic(cpu).acknowledge_interrupt().value_or(0);
  }
  void eoi(unsigned cpu = 0) { write(0xb0, 0, cpu); }

  std::uint32_t read_io(std::uint32_t reg) {
    write32(io_apic, 0, reg);
    return read32(io_apic, 0x10);
  }
  void write_io(std::uint32_t reg, std::uint32_t value) {
    write32(io_apic, 0, reg);
    write32(io_apic, 0x10, value);
  }
  void route(unsigned pin, std::uint32_t low, std::uint8_t destination = 0) {
    write_io(0x10 + 2 * pin, low);
    write_io(0x11 + 2 * pin, std::uint32_t{destination} << 24);
  }
  std::uint32_t entry(unsigned pin) { return read_io(0x10 + 2 * pin); }

  vireo::test::FakeClock clock;
  ApicBus bus;
  FakePic pic;
  IoApic io_apic{bus};
  std::vector<std::unique_ptr<FakeCpu>> signals;
  std::vector<std::unique_ptr<LocalApic>> apics;
};

}  // namespace vireo::devices::test
