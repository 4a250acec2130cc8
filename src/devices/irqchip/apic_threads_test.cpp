// Several CPUs and devices at once: nothing deadlocks and no interrupt is lost.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "devices/irqchip/apic_bus.h"
#include "devices/irqchip/i8259.h"
#include "devices/irqchip/io_apic.h"
#include "devices/irqchip/irq_fan_out.h"
#include "devices/irqchip/local_apic.h"
#include "support/fake_clock.h"

namespace vireo::devices {
namespace {

constexpr unsigned kCpus = 3, kRounds = 2000;
constexpr std::uint8_t kIpiVector = 0x61, kLevelVector = 0x71;
constexpr std::uint64_t kPage = 0xfee00000;

struct Counter final : CpuSignals {
  void interrupt() override { ++interrupts; }
  void nmi() override { ++nmis; }
  void init() override {}
  void startup(std::uint8_t) override {}
  std::atomic<unsigned> interrupts = 0;
  std::atomic<unsigned> nmis = 0;
};

struct Machine {
  Machine() {
    bus.add(io_apic);
    bus.set_ext_int_source(pic);
    for (unsigned id = 0; id < kCpus; ++id) {
      LocalApic::Config config;
      config.id = id;
      apics.push_back(std::make_unique<LocalApic>(config, clock, clock, bus, signals[id]));
      bus.add(*apics.back());
      write(id, 0xf0, 0x1ff);
    }
    const std::uint32_t entry[] = {0x10 + 2 * 20, 0x8000 | kLevelVector};
    io_apic.write(0x00, std::as_bytes(std::span(entry, 1)));
    io_apic.write(0x10, std::as_bytes(std::span(entry + 1, 1)));
  }
  void write(unsigned cpu, std::uint64_t offset, std::uint32_t value) {
    apics[cpu]->mmio_write(kPage + offset, std::as_bytes(std::span(&value, 1)));
  }
  /// What a run loop does when it is told of an interrupt.
  void serve(unsigned cpu) {
    while (apics[cpu]->interrupt_pending()) {
      const auto vector = apics[cpu]->acknowledge_interrupt();
      if (!vector) return;
      if (*vector == kIpiVector) ++ipis[cpu];
      if (*vector == kLevelVector) {
        io_apic.input(20).set_level(false);  // before the device may raise it again
        ++levels;
      }
      write(cpu, 0xb0, 0);
    }
  }

  test::FakeClock clock;
  ApicBus bus;
  IoApic io_apic{bus};
  IrqFanOut nowhere{{}};
  Pic pic{nowhere};
  std::array<Counter, kCpus> signals;
  std::vector<std::unique_ptr<LocalApic>> apics;
  std::array<std::atomic<unsigned>, kCpus> ipis{};
  std::atomic<unsigned> levels = 0;
};

TEST(ApicThreads, EveryIpiAndEveryLevelArrives) {
  Machine machine;
  std::vector<std::thread> threads;
  for (unsigned cpu = 0; cpu < kCpus; ++cpu)
    threads.emplace_back([&machine, cpu] {
      const unsigned next = (cpu + 1) % kCpus;
      // The next CPU serves an IPI before it is sent another: none may be merged.
      for (unsigned i = 0; i < kRounds; ++i) {
        machine.write(cpu, 0x310, next << 24);
        machine.write(cpu, 0x300, kIpiVector);
        while (machine.ipis[next] <= i) machine.serve(cpu), std::this_thread::yield();
      }
      while (machine.ipis[cpu] < kRounds || machine.levels < kRounds)
        machine.serve(cpu), std::this_thread::yield();
    });
  threads.emplace_back([&machine] {
    for (unsigned i = 0; i < kRounds; ++i) {
      machine.io_apic.input(20).set_level(true);
      while (machine.levels <= i) std::this_thread::yield();
    }
  });
  for (auto& thread : threads) thread.join();
  for (unsigned cpu = 0; cpu < kCpus; ++cpu) EXPECT_EQ(machine.ipis[cpu], kRounds);
  EXPECT_EQ(machine.levels, kRounds);
}

}  // namespace
}  // namespace vireo::devices
