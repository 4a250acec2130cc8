#include "parse.h"

#include <charconv>
#include <cmath>

namespace vireo::app {
namespace {

/// The number at the beginning; `rest` is what follows it.
template <class T>
bool take_number(std::string_view text, T& number, std::string_view& rest) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc()) return false;
  rest = std::string_view(stop, static_cast<std::size_t>(end - stop));
  return true;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view option, std::string_view text) {
  std::uint64_t number = 0;
  std::string_view unit;
  const bool parsed = take_number(text, number, unit);
  if (parsed && unit.empty()) {
    return usage_error("{} needs a unit: {}M or {}G, for example", option, text, text);
  }
  unsigned shift = 0;
  if (parsed) {
    switch (unit.front()) {
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'm':
      case 'M':
        shift = 20;
        break;
      case 'g':
      case 'G':
        shift = 30;
        break;
      case 't':
      case 'T':
        shift = 40;
        break;
      default:
        break;
    }
    unit.remove_prefix(1);
  }
  if (shift == 0 || !(unit.empty() || unit == "B" || unit == "iB")) {
    return usage_error("{} takes a size such as 512M or 2G, not '{}'", option, text);
  }
  if (number > (~std::uint64_t{0} >> shift)) {
    return usage_error("{} is too large: {}", option, text);
  }
  return number << shift;
}

Result<double> parse_seconds(std::string_view option, std::string_view text) {
  double seconds = 0;
  std::string_view rest;
  if (!take_number(text, seconds, rest) || !(rest.empty() || rest == "s") ||
      !std::isfinite(seconds) || seconds <= 0 || seconds > 1e9) {
    return usage_error("{} takes a positive number of seconds, not '{}'", option, text);
  }
  return seconds;
}

Result<unsigned> parse_count(std::string_view option, std::string_view text) {
  unsigned count = 0;
  std::string_view rest;
  if (!take_number(text, count, rest) || !rest.empty() || count == 0) {
    return usage_error("{} takes a number from 1 on, not '{}'", option, text);
  }
  return count;
}

}  // namespace vireo::app
