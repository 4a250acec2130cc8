#include "devices/timer/rtc_time.h"

namespace vireo::devices {
namespace {

constexpr std::int64_t kSecondsPerDay = 86'400;
constexpr std::uint8_t kAfternoon = 0x80;

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

// Years that begin in March put the leap day at their end.
/// Days from 1970-01-01 to the first of a month (1-12).
std::int64_t days_before_month(std::int64_t year, unsigned month) {
  const std::int64_t shifted = month <= 2 ? year - 1 : year;
  const std::int64_t months = month <= 2 ? month + 9 : month - 3;
  const std::int64_t leap_days =
      floor_div(shifted, 4) - floor_div(shifted, 100) + floor_div(shifted, 400);
  constexpr std::int64_t kDaysToEpoch = 719'468;
  return shifted * 365 + leap_days + (153 * months + 2) / 5 - kDaysToEpoch;
}

}  // namespace

RtcTime rtc_time_of(std::int64_t unix_seconds) {
  const std::int64_t days = floor_div(unix_seconds, kSecondsPerDay);
  const std::int64_t rest = unix_seconds - days * kSecondsPerDay;
  // Not too late, and early by a year in some hundreds.
  std::int64_t year = 1970 + floor_div(days, days < 0 ? 365 : 366);
  while (days_before_month(year + 1, 1) <= days) ++year;
  unsigned month = 1;
  while (month < 12 && days_before_month(year, month + 1) <= days) ++month;

  RtcTime time;
  time.second = static_cast<unsigned>(rest % 60);
  time.minute = static_cast<unsigned>(rest / 60 % 60);
  time.hour = static_cast<unsigned>(rest / 3600);
  const std::int64_t weekday = days + 4 - floor_div(days + 4, 7) * 7;  // 1970 began on Thursday
  time.weekday = static_cast<unsigned>(weekday) + 1;
  time.day = static_cast<unsigned>(days - days_before_month(year, month)) + 1;
  time.month = month;
  time.year = static_cast<unsigned>(year);
  return time;
}

std::int64_t unix_seconds_of(const RtcTime& time) {
  const unsigned months = time.month ? time.month - 1 : 0;
  const std::int64_t days =
      days_before_month(std::int64_t{time.year} + months / 12, months % 12 + 1) +
      (std::int64_t{time.day} - 1);
  return days * kSecondsPerDay + std::int64_t{time.hour} * 3600 + std::int64_t{time.minute} * 60 +
         time.second;
}

std::uint8_t RtcFormat::encode(unsigned number) const {
  return static_cast<std::uint8_t>(binary ? number : number / 10 << 4 | number % 10);
}

unsigned RtcFormat::decode(std::uint8_t byte) const {
  return binary ? byte : (byte >> 4) * 10U + (byte & 15U);
}

std::uint8_t RtcFormat::encode_hour(unsigned hour) const {
  if (hours24) return encode(hour);
  const unsigned shown = hour % 12 ? hour % 12 : 12;
  return static_cast<std::uint8_t>(encode(shown) | (hour >= 12 ? kAfternoon : 0));
}

unsigned RtcFormat::decode_hour(std::uint8_t byte) const {
  if (hours24) return decode(byte);
  const unsigned shown = decode(byte & 0x7f);
  return shown % 12 + (byte & kAfternoon ? 12 : 0);
}

}  // namespace vireo::devices
