#include "x86/cpuid/clock_ratio.h"

#include <limits>
#include <utility>

namespace vireo::x86 {

ClockRatio tsc_ratio(std::uint64_t tsc_hz) {
  constexpr std::uint64_t kLimit = std::numeric_limits<std::uint32_t>::max() / (kCrystalHz / 1000);
  if (tsc_hz == 0) return {};
  // The convergents of the continued fraction. (Each is the best for its size.)
  std::uint64_t a = tsc_hz, b = kCrystalHz;
  std::uint64_t n = 1, n_before = 0, d = 0, d_before = 1;
  while (b != 0) {
    const std::uint64_t quotient = a / b;
    const std::uint64_t n_next = quotient * n + n_before, d_next = quotient * d + d_before;
    if (n_next > kLimit || d_next > kLimit) break;
    n_before = std::exchange(n, n_next);
    d_before = std::exchange(d, d_next);
    a = std::exchange(b, a % b);
  }
  if (d == 0) return {};
  return {static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(d)};
}

}  // namespace vireo::x86
