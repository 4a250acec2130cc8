#pragma once
#include <array>
#include <cstdint>
#include <mutex>

#include "base/clock.h"
#include "base/result.h"
#include "bus/bus_device.h"
#include "bus/irq_line.h"
#include "devices/timer/deadline_alarm.h"
#include "devices/timer/rtc_time.h"

namespace vireo::devices {

/// What the real-time clock remembers.
struct CmosRtcState {
  /// The bytes as they read, but those of the time while it runs.
  std::array<std::uint8_t, 128> bytes{};
  std::uint8_t index = 0;
  std::uint8_t nmi_masked = 0;  ///< bit 7 of port 0x70
  /// While the time runs: Unix time (two's complement) at virtual nanosecond `base_ns`.
  std::uint64_t base_seconds = 0;
  std::uint64_t base_ns = 0;
  std::uint64_t seen_ns = 0;  ///< flags are up to date until then

  bool operator==(const CmosRtcState&) const = default;
  static void fields(auto& self, auto&& visit) {
    auto& [bytes, index, nmi_masked, base_seconds, base_ns, seen_ns] = self;
    visit("bytes", bytes), visit("index", index), visit("nmi_masked", nmi_masked);
    visit("base_seconds", base_seconds), visit("base_ns", base_ns), visit("seen_ns", seen_ns);
  }
};

/// The PC's MC146818 with 128 bytes of CMOS memory and the century at 0x32 (Motorola MC146818,
/// 1984). The date is real: days of months and weekdays follow from it. Thread safe.
class CmosRtc final : public bus::BusDevice {
 public:
  /// `irq8` and the rest outlive it.
  CmosRtc(const Clock& clock, TimerService& timers, bus::IrqLine& irq8);
  CmosRtc(const CmosRtc&) = delete;

  // 2 ports, 0x70.
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  /// CMOS memory, for what firmware expects to find there. `index` is 0x0e-0x7f.
  void set_byte(unsigned index, std::uint8_t value);
  /// Where firmware looks for RAM: bytes below and above 4 GiB.
  void set_memory_size(std::uint64_t below_4g, std::uint64_t above_4g);
  bool nmi_masked() const;

  CmosRtcState state() const;
  Result<> restore(const CmosRtcState& state);
  /// Time and memory survive, as they have a battery; interrupts do not.
  void reset();

 private:
  bool halted() const;
  RtcFormat format() const;
  std::int64_t seconds_at(std::uint64_t ns) const;
  std::uint8_t read_byte(unsigned index, std::uint64_t now) const;
  std::uint8_t read_time(unsigned index, std::int64_t seconds) const;
  bool update_in_progress(std::uint64_t now) const;
  void write_byte(unsigned index, std::uint8_t value, std::uint64_t now);
  void write_control(unsigned index, std::uint8_t value, std::uint64_t now);
  /// Copies the running time into the bytes, and back.
  void freeze(std::uint64_t now);
  void thaw(std::uint64_t now, std::uint64_t phase_ns);

  // Flags and interrupts; `now` in virtual nanoseconds.
  std::uint64_t periodic_ticks() const;
  std::uint64_t periodic_count(std::uint64_t ns) const;
  std::int64_t next_alarm(std::int64_t after) const;
  void catch_up(std::uint64_t now);
  void update(std::uint64_t now);
  std::uint64_t next_event(std::uint64_t now) const;

  // Wiring, given once.
  const Clock& clock_;
  bus::IrqLine& irq8_;
  // Guest-visible state, saved in snapshots.
  mutable std::mutex mutex_;
  CmosRtcState state_;
  DeadlineAlarm alarm_;
};

}  // namespace vireo::devices
