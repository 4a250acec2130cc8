#pragma once
#include <array>
#include <cstdint>
#include <mutex>

#include "base/clock.h"
#include "base/result.h"
#include "bus/bus_device.h"
#include "bus/irq_line.h"
#include "devices/timer/deadline_alarm.h"
#include "devices/timer/i8254_channel.h"
#include "devices/timer/tick_rate.h"

namespace vireo::devices {

/// What the PIT and port 0x61 remember.
struct PitState {
  std::array<I8254ChannelState, 3> channels;
  std::uint8_t port61 = 0;  ///< bits 3:0; bit 0 is the gate of channel 2

  bool operator==(const PitState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [channels, port61] = self;
    visit("channels", channels), visit("port61", port61);
  }
};

/// The PC's 8254: channel 0 makes IRQ 0, channel 1 refreshed memory, channel 2 is the speaker's and
/// is watched through port 0x61 (system control port B). Thread safe.
class Pit final : public bus::BusDevice {
 public:
  static constexpr std::uint64_t kHz = 1'193'182;

  /// `irq0` follows OUT of channel 0. All of these outlive it.
  Pit(const Clock& clock, TimerService& timers, bus::IrqLine& irq0);
  Pit(const Pit&) = delete;

  // 4 ports, 0x40.
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;
  bus::BusDevice& port61() { return port61_; }  ///< 1 port, 0x61

  PitState state() const;
  Result<> restore(const PitState& state);
  void reset();

 private:
  struct Port61 final : bus::BusDevice {
    explicit Port61(Pit& owner) : pit(owner) {}
    void read(std::uint64_t offset, std::span<std::byte> data) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    Pit& pit;
  };

  std::uint64_t now() const { return rate_.ticks_at(clock_.now_ns()); }
  void write_byte(unsigned port, std::uint8_t value, std::uint64_t tick);
  void write_control(std::uint8_t value, std::uint64_t tick);
  void on_timer();
  // Around every access, at one tick.
  /// Tells channel 0's edges until now, and says when that is.
  std::uint64_t catch_up();
  /// The level of IRQ 0, and the alarm for its next change.
  void update(std::uint64_t tick, std::uint64_t earliest_ns = 0);
  void set_line(bool high);

  // Wiring, given once.
  const Clock& clock_;
  const TickRate rate_{kHz};
  bus::IrqLine& irq0_;
  Port61 port61_;
  bool line_ = false;  ///< what irq0_ was told last
  // Guest-visible state, saved in snapshots.
  mutable std::mutex mutex_;
  std::array<I8254Channel, 3> channels_;
  std::uint8_t port61_bits_ = 0;
  DeadlineAlarm alarm_;
};

}  // namespace vireo::devices
