#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "devices/timer/tick_rate.h"

/// The registers of the MC146818, for the files of CmosRtc.
namespace vireo::devices::rtc {

enum Index : unsigned {
  kSecond = 0x00,
  kSecondAlarm = 0x01,
  kMinute = 0x02,
  kMinuteAlarm = 0x03,
  kHour = 0x04,
  kHourAlarm = 0x05,
  kWeekday = 0x06,
  kDay = 0x07,
  kMonth = 0x08,
  kYear = 0x09,
  kA = 0x0a,
  kB = 0x0b,
  kC = 0x0c,
  kD = 0x0d,
  kCentury = 0x32,
};
inline constexpr std::array<unsigned, 8> kTimeBytes{kSecond, kMinute, kHour, kWeekday,
                                                    kDay,    kMonth,  kYear, kCentury};

inline constexpr std::uint8_t kUpdateInProgress = 0x80, kDividerMask = 0x70, kRateMask = 0x0f;
inline constexpr std::uint8_t kDividerReset = 0x60;  // and 0x70
inline constexpr std::uint8_t kSet = 0x80, kBinary = 0x04, kHours24 = 0x02;
inline constexpr std::uint8_t kInterruptRequest = 0x80;
// The same bits enable in register B and report in register C.
inline constexpr std::uint8_t kPeriodic = 0x40, kAlarm = 0x20, kUpdate = 0x10;
inline constexpr std::uint8_t kInterrupts = kPeriodic | kAlarm | kUpdate;
inline constexpr std::uint8_t kValid = 0x80;
inline constexpr std::uint8_t kAnyAlarm = 0xc0;

inline constexpr std::uint64_t kSecondNs = TickRate::kNsPerSecond;
inline constexpr std::uint64_t kUpdateNs = 244'000 + 1'984'000;
inline constexpr std::int64_t kSecondsPerDay = 86'400;
inline constexpr TickRate kCrystal{32'768};

constexpr bool is_time(unsigned index) {
  return std::find(kTimeBytes.begin(), kTimeBytes.end(), index) != kTimeBytes.end();
}

}  // namespace vireo::devices::rtc
