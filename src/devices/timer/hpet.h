#pragma once
#include <array>
#include <cstdint>
#include <mutex>

#include "base/clock.h"
#include "base/result.h"
#include "bus/bus_device.h"
#include "bus/irq_line.h"
#include "bus/msi_sink.h"
#include "devices/timer/deadline_alarm.h"
#include "devices/timer/legacy_timer_gate.h"
#include "devices/timer/tick_rate.h"

namespace vireo::devices {

/// One comparator of the HPET.
struct HpetTimerState {
  std::uint64_t config = 0;  ///< the writable bits
  std::uint64_t comparator = ~std::uint64_t{0};
  std::uint64_t period = 0;
  std::uint64_t fsb_route = 0;
  std::uint8_t armed = 0;
  std::uint64_t match_tick = 0;  ///< of the undisturbed clock: when the comparator matches next

  bool operator==(const HpetTimerState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [config, comparator, period, fsb_route, armed, match_tick] = self;
    visit("config", config), visit("comparator", comparator), visit("period", period);
    visit("fsb_route", fsb_route), visit("armed", armed), visit("match_tick", match_tick);
  }
};

/// What the HPET remembers.
struct HpetState {
  static constexpr unsigned kTimers = 3;

  std::uint64_t config = 0;
  std::uint64_t status = 0;
  std::uint64_t counter = 0;  ///< halted: its value. Running: its value at tick 0 of the clock
  std::array<HpetTimerState, kTimers> timers;

  bool operator==(const HpetState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [config, status, counter, timers] = self;
    visit("config", config), visit("status", status), visit("counter", counter);
    visit("timers", timers);
  }
};

/// High precision event timers: IA-PC HPET 1.0a. A 64-bit counter of 100 MHz and three 64-bit
/// comparators that can be periodic, level triggered and delivered as messages. Thread safe.
class Hpet final : public bus::BusDevice {
 public:
  static constexpr unsigned kTimers = HpetState::kTimers;
  static constexpr std::uint64_t kHz = 100'000'000;
  static constexpr std::uint64_t kPeriodFs = 10'000'000;
  static constexpr std::uint64_t kWindowSize = 0x400;
  static constexpr unsigned kRoutes = 32;

  /// Everything outlives the HPET.
  struct Wiring {
    std::array<bus::IrqLine*, kRoutes> inputs{};  ///< of the I/O APIC; null: not routable there
    LegacyTimerGate* legacy = nullptr;            ///< null: no legacy replacement
    bus::MsiSink* messages = nullptr;             ///< null: no FSB delivery
  };
  Hpet(const Clock& clock, TimerService& timers, const Wiring& wiring);
  Hpet(const Hpet&) = delete;

  /// Registers are 64 bits wide and take aligned accesses of 4 or 8 bytes; others read as all ones
  /// and are dropped.
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  HpetState state() const;
  Result<> restore(const HpetState& state);
  void reset();

 private:
  std::uint64_t now() const { return rate_.ticks_at(clock_.now_ns()); }
  bool running() const;
  bool legacy() const;
  std::uint64_t counter(std::uint64_t tick) const;
  std::uint64_t width_mask(unsigned n) const;
  bool periodic(unsigned n) const;
  std::uint64_t capabilities() const;
  std::uint64_t timer_capabilities(unsigned n) const;

  std::uint64_t read_register(std::uint64_t reg, std::uint64_t tick) const;
  std::uint64_t read_timer(unsigned n, std::uint64_t reg) const;
  void write_register(std::uint64_t reg, std::uint64_t value, std::uint64_t written,
                      std::uint64_t tick);
  void write_config(std::uint64_t value, std::uint64_t tick);
  void write_timer(unsigned n, std::uint64_t reg, std::uint64_t value, std::uint64_t written,
                   std::uint64_t tick);
  void write_timer_config(unsigned n, std::uint64_t value, std::uint64_t tick);
  void write_comparator(unsigned n, std::uint64_t value, std::uint64_t written, std::uint64_t tick);

  /// When timer n matches, counted from `tick` on.
  void schedule(unsigned n, std::uint64_t tick);
  void schedule_all(std::uint64_t tick);
  void advance(std::uint64_t tick);
  void match(unsigned n);
  void arm(std::uint64_t earliest_ns = 0);
  bus::IrqLine* line(unsigned n) const;
  void update_line(unsigned n);
  void update_lines();
  void drive(unsigned n, bus::IrqLine* target, bool high);

  // Wiring, given once.
  const Clock& clock_;
  const TickRate rate_{kHz};
  const Wiring wiring_;
  struct Driven {
    bus::IrqLine* line = nullptr;
    bool high = false;
  };
  std::array<Driven, kTimers> driven_;  ///< what the lines were told last
  // Guest-visible state, saved in snapshots.
  mutable std::mutex mutex_;
  HpetState state_;
  DeadlineAlarm alarm_;
};

}  // namespace vireo::devices
