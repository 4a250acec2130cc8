// The flags of register C, and IRQ 8.
#include <algorithm>

#include "devices/timer/cmos_rtc.h"
#include "devices/timer/cmos_rtc_registers.h"

namespace vireo::devices {

/// Crystal ticks per periodic interrupt; 0: there is none.
std::uint64_t CmosRtc::periodic_ticks() const {
  const unsigned rate = state_.bytes[rtc::kA] & rtc::kRateMask;
  if (rate == 0 || (state_.bytes[rtc::kA] & rtc::kDividerReset) == rtc::kDividerReset) return 0;
  return rate <= 2 ? std::uint64_t{64} << rate : std::uint64_t{1} << (rate - 1);
}

std::uint64_t CmosRtc::periodic_count(std::uint64_t ns) const {
  const std::uint64_t ticks = periodic_ticks();
  return ticks ? rtc::kCrystal.ticks_at(ns) / ticks : 0;
}

/// The first second after this one that the alarm matches; a day later or more if there is none.
std::int64_t CmosRtc::next_alarm(std::int64_t after) const {
  const RtcFormat numbers = format();
  const auto matches = [this](unsigned index, std::uint8_t shown) {
    const auto wanted = state_.bytes[index];
    return wanted >= rtc::kAnyAlarm || wanted == shown;
  };
  std::int64_t second = after + 1;
  while (second <= after + rtc::kSecondsPerDay) {
    const RtcTime time = rtc_time_of(second);
    if (!matches(rtc::kHourAlarm, numbers.encode_hour(time.hour)))
      second += 3600 - time.minute * 60 - time.second;
    else if (!matches(rtc::kMinuteAlarm, numbers.encode(time.minute)))
      second += 60 - time.second;
    else if (!matches(rtc::kSecondAlarm, numbers.encode(time.second)))
      ++second;
    else
      return second;
  }
  return second;
}

/// Sets the flags for what has happened until now, whether or not it may interrupt.
void CmosRtc::catch_up(std::uint64_t now) {
  auto& flags = state_.bytes[rtc::kC];
  if (periodic_count(now) != periodic_count(state_.seen_ns)) flags |= rtc::kPeriodic;
  if (!halted()) {
    const std::int64_t seen = seconds_at(state_.seen_ns);
    const std::int64_t current = seconds_at(now);
    if (current != seen) flags |= rtc::kUpdate;
    if (current != seen && next_alarm(seen) <= current) flags |= rtc::kAlarm;
  }
  state_.seen_ns = now;
  if (flags & state_.bytes[rtc::kB] & rtc::kInterrupts) flags |= rtc::kInterruptRequest;
}

void CmosRtc::update(std::uint64_t now) {
  auto& flags = state_.bytes[rtc::kC];
  const bool request = flags & state_.bytes[rtc::kB] & rtc::kInterrupts;
  flags = static_cast<std::uint8_t>((flags & rtc::kInterrupts) |
                                    (request ? rtc::kInterruptRequest : 0));
  irq8_.set_level(request);
  alarm_.set(next_event(now));
}

/// When an interrupt becomes due, in virtual nanoseconds.
std::uint64_t CmosRtc::next_event(std::uint64_t now) const {
  const auto enabled = state_.bytes[rtc::kB];
  std::uint64_t next = TickRate::kNever;
  if (state_.bytes[rtc::kC] & rtc::kInterruptRequest) return next;  // nothing new until it is read
  if ((enabled & rtc::kPeriodic) && periodic_ticks())
    next = rtc::kCrystal.ns_at((periodic_count(now) + 1) * periodic_ticks());
  if (halted()) return next;
  const std::int64_t current = seconds_at(now);
  const auto when = [&](std::int64_t second) {
    const auto ahead = static_cast<std::uint64_t>(second) - state_.base_seconds;
    return state_.base_ns + ahead * rtc::kSecondNs;
  };
  if (enabled & rtc::kUpdate) next = std::min(next, when(current + 1));
  if (enabled & rtc::kAlarm) {
    const std::int64_t second = next_alarm(current);
    if (second <= current + rtc::kSecondsPerDay) next = std::min(next, when(second));
  }
  return next;
}

}  // namespace vireo::devices
