#include "devices/timer/cmos_rtc.h"

#include <algorithm>

#include "base/assert.h"
#include "bus/access_split.h"
#include "devices/timer/cmos_rtc_registers.h"

namespace vireo::devices {
CmosRtc::CmosRtc(const Clock& clock, TimerService& timers, bus::IrqLine& irq8)
    : clock_(clock), irq8_(irq8), alarm_(timers, [this] {
        const std::lock_guard lock(mutex_);
        alarm_.expired();
        const std::uint64_t now = clock_.now_ns();
        catch_up(now);
        update(now);
      }) {
  state_.bytes[rtc::kA] = 0x26;  // 32 kHz crystal, 1024 Hz
  state_.bytes[rtc::kB] = rtc::kHours24;
  state_.bytes[rtc::kD] = rtc::kValid;
  state_.base_seconds = static_cast<std::uint64_t>(clock.epoch_at_start());
  state_.seen_ns = clock.now_ns();
}

void CmosRtc::read(std::uint64_t offset, std::span<std::byte> data) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t now = clock_.now_ns();
  catch_up(now);
  bus::for_each_byte(offset, data, [&](std::uint64_t port, std::uint8_t& byte) {
    byte = port == 1 ? read_byte(state_.index, now) : 0xff;
    if (port == 1 && state_.index == rtc::kC) state_.bytes[rtc::kC] = 0;
  });
  update(now);
}

void CmosRtc::write(std::uint64_t offset, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t now = clock_.now_ns();
  catch_up(now);
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto byte = std::to_integer<std::uint8_t>(data[i]);
    if (offset + i != 0) {
      write_byte(state_.index, byte, now);
    } else {
      state_.index = byte & 0x7f;
      state_.nmi_masked = byte >> 7;
    }
  }
  update(now);
}

void CmosRtc::set_byte(unsigned index, std::uint8_t value) {
  VIREO_ASSERT(index > rtc::kD && index < 128 && index != rtc::kCentury);
  const std::lock_guard lock(mutex_);
  state_.bytes[index] = value;
}

void CmosRtc::set_memory_size(std::uint64_t below_4g, std::uint64_t above_4g) {
  constexpr std::uint64_t kKib = 1024, kMib = 1024 * kKib;
  const auto set_word = [this](unsigned index, std::uint64_t value) {
    const auto word = static_cast<std::uint16_t>(std::min<std::uint64_t>(value, 0xffff));
    set_byte(index, static_cast<std::uint8_t>(word));
    set_byte(index + 1, static_cast<std::uint8_t>(word >> 8));
  };
  set_word(0x15, std::min(below_4g / kKib, std::uint64_t{640}));
  const std::uint64_t extended = below_4g > kMib ? (below_4g - kMib) / kKib : 0;
  set_word(0x17, extended);
  set_word(0x30, extended);
  set_word(0x34, below_4g > 16 * kMib ? (below_4g - 16 * kMib) / (64 * kKib) : 0);
  const std::uint64_t high = above_4g / (64 * kKib);
  for (unsigned i = 0; i < 3; ++i) set_byte(0x5b + i, static_cast<std::uint8_t>(high >> (8 * i)));
}

bool CmosRtc::nmi_masked() const {
  const std::lock_guard lock(mutex_);
  return state_.nmi_masked;
}

CmosRtcState CmosRtc::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<> CmosRtc::restore(const CmosRtcState& state) {
  constexpr std::int64_t kYear10000 = 253'402'300'800;
  const auto seconds = static_cast<std::int64_t>(state.base_seconds);
  if (state.index > 0x7f || state.nmi_masked > 1 || seconds < -kYear10000 || seconds > kYear10000)
    return host_error("cmos: the saved state could not have been this chip's");
  const std::lock_guard lock(mutex_);
  state_ = state;
  const std::uint64_t now = clock_.now_ns();
  state_.base_ns = std::min(state_.base_ns, now);
  state_.seen_ns = std::clamp(state_.seen_ns, state_.base_ns, now);
  catch_up(now);
  update(now);
  return Unit{};
}

void CmosRtc::reset() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t now = clock_.now_ns();
  catch_up(now);
  state_.bytes[rtc::kB] = static_cast<std::uint8_t>(state_.bytes[rtc::kB] & ~rtc::kInterrupts);
  state_.bytes[rtc::kC] = 0;
  state_.index = 0;
  state_.nmi_masked = 0;
  update(now);
}

bool CmosRtc::halted() const {
  return (state_.bytes[rtc::kB] & rtc::kSet) ||
         (state_.bytes[rtc::kA] & rtc::kDividerReset) == rtc::kDividerReset;
}

RtcFormat CmosRtc::format() const {
  return {(state_.bytes[rtc::kB] & rtc::kBinary) != 0,
          (state_.bytes[rtc::kB] & rtc::kHours24) != 0};
}

std::int64_t CmosRtc::seconds_at(std::uint64_t ns) const {
  return static_cast<std::int64_t>(state_.base_seconds + (ns - state_.base_ns) / rtc::kSecondNs);
}

std::uint8_t CmosRtc::read_byte(unsigned index, std::uint64_t now) const {
  if (rtc::is_time(index) && !halted()) return read_time(index, seconds_at(now));
  if (index == rtc::kA && update_in_progress(now))
    return state_.bytes[rtc::kA] | rtc::kUpdateInProgress;
  return state_.bytes[index];
}

std::uint8_t CmosRtc::read_time(unsigned index, std::int64_t seconds) const {
  const RtcTime time = rtc_time_of(seconds);
  const RtcFormat numbers = format();
  switch (index) {
    case rtc::kSecond:
      return numbers.encode(time.second);
    case rtc::kMinute:
      return numbers.encode(time.minute);
    case rtc::kHour:
      return numbers.encode_hour(time.hour);
    case rtc::kWeekday:
      return numbers.encode(time.weekday);
    case rtc::kDay:
      return numbers.encode(time.day);
    case rtc::kMonth:
      return numbers.encode(time.month);
    case rtc::kYear:
      return numbers.encode(time.year % 100);
    default:
      return numbers.encode(time.year / 100 % 100);
  }
}

/// The time is about to change: for 244 us and while the chip counts, before the second is full.
bool CmosRtc::update_in_progress(std::uint64_t now) const {
  return !halted() && (now - state_.base_ns) % rtc::kSecondNs >= rtc::kSecondNs - rtc::kUpdateNs;
}

void CmosRtc::write_byte(unsigned index, std::uint8_t value, std::uint64_t now) {
  if (index >= rtc::kA && index <= rtc::kD) return write_control(index, value, now);
  if (!rtc::is_time(index) || halted()) {
    state_.bytes[index] = value;
    return;
  }
  const std::uint64_t phase = (now - state_.base_ns) % rtc::kSecondNs;
  freeze(now);
  state_.bytes[index] = value;
  thaw(now, phase);
}

void CmosRtc::write_control(unsigned index, std::uint8_t value, std::uint64_t now) {
  if (index != rtc::kA && index != rtc::kB) return;
  const bool was_halted = halted();
  const bool divider_was_reset = (state_.bytes[rtc::kA] & rtc::kDividerReset) == rtc::kDividerReset;
  const std::uint64_t phase = (now - state_.base_ns) % rtc::kSecondNs;
  if (!was_halted) freeze(now);  // in the format of before
  if (index == rtc::kA) {
    state_.bytes[rtc::kA] = value & (rtc::kDividerMask | rtc::kRateMask);
  } else {
    // SET takes the update-ended interrupt away.
    state_.bytes[rtc::kB] =
        static_cast<std::uint8_t>(value & rtc::kSet ? value & ~rtc::kUpdate : value);
  }
  // The first update comes half a second after the divider starts.
  if (was_halted && !halted()) thaw(now, divider_was_reset ? rtc::kSecondNs / 2 : phase);
}

void CmosRtc::freeze(std::uint64_t now) {
  for (const unsigned index : rtc::kTimeBytes)
    state_.bytes[index] = read_time(index, seconds_at(now));
}

/// The time runs on from what the bytes say, `phase_ns` into its second.
void CmosRtc::thaw(std::uint64_t now, std::uint64_t phase_ns) {
  const RtcFormat numbers = format();
  const auto& bytes = state_.bytes;
  RtcTime time;
  time.second = numbers.decode(bytes[rtc::kSecond]);
  time.minute = numbers.decode(bytes[rtc::kMinute]);
  time.hour = numbers.decode_hour(bytes[rtc::kHour]);
  time.day = numbers.decode(bytes[rtc::kDay]);
  time.month = numbers.decode(bytes[rtc::kMonth]);
  time.year =
      numbers.decode(bytes[rtc::kCentury]) % 100 * 100 + numbers.decode(bytes[rtc::kYear]) % 100;
  const std::uint64_t since = std::min(phase_ns, now);
  state_.base_seconds = static_cast<std::uint64_t>(unix_seconds_of(time));
  state_.base_ns = now - since;
}

}  // namespace vireo::devices
