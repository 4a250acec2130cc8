#pragma once
#include <array>
#include <cstdint>

namespace vireo::devices {

/// A moment as the registers of an MC146818 show it.
struct RtcTime {
  unsigned second = 0, minute = 0, hour = 0;  ///< hour: 0-23
  unsigned weekday = 1;                       ///< 1 is Sunday
  unsigned day = 1, month = 1, year = 0;      ///< year: 0-9999
  bool operator==(const RtcTime&) const = default;
};

/// Between seconds since 1970 and calendar dates, proleptic Gregorian.
RtcTime rtc_time_of(std::int64_t unix_seconds);
/// Fields out of range count on into the next larger one. The weekday does not matter.
std::int64_t unix_seconds_of(const RtcTime& time);

/// How the registers write numbers: register B, bits 2 and 1.
struct RtcFormat {
  bool binary = false;
  bool hours24 = true;

  std::uint8_t encode(unsigned number) const;
  unsigned decode(std::uint8_t byte) const;
  std::uint8_t encode_hour(unsigned hour) const;
  unsigned decode_hour(std::uint8_t byte) const;
};

}  // namespace vireo::devices
