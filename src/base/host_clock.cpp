#include "base/host_clock.h"

#include <cpuid.h>
#include <x86intrin.h>

#include <cstdlib>
#include <ctime>
#include <optional>

#include "base/host_time.h"

namespace vireo {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr unsigned kScaleShift = 48;

bool tsc_is_invariant() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) != 0 && (edx & (1u << 8)) != 0;
}

/// What the CPU says of itself. SDM vol. 2A, CPUID, leaves 15H and 16H.
std::optional<std::uint64_t> enumerated_hz() {
  unsigned denominator = 0, numerator = 0, crystal_hz = 0, unused = 0;
  if (__get_cpuid(0x15, &denominator, &numerator, &crystal_hz, &unused) != 0 && denominator != 0 &&
      numerator != 0 && crystal_hz != 0) {
    return std::uint64_t{crystal_hz} * numerator / denominator;
  }
  unsigned base_mhz = 0, maximum_mhz = 0, bus_mhz = 0;
  if (__get_cpuid(0x16, &base_mhz, &maximum_mhz, &bus_mhz, &unused) != 0 &&
      (base_mhz & 0xffff) != 0) {
    return std::uint64_t{base_mhz & 0xffff} * 1'000'000;
  }
  return {};
}

struct Sample {
  std::uint64_t ns;
  std::uint64_t ticks;
};

/// One moment on both clocks: of several attempts the one that was disturbed least.
Sample sample() {
  Sample best{};
  std::uint64_t shortest = ~std::uint64_t{0};
  for (int attempt = 0; attempt < 16; ++attempt) {
    const std::uint64_t before = __rdtsc();
    const std::uint64_t ns = host_ns(CLOCK_MONOTONIC_RAW);
    const std::uint64_t after = __rdtsc();
    if (after - before >= shortest) continue;
    shortest = after - before;
    best = {ns, before + shortest / 2};
  }
  return best;
}

std::uint64_t measured_hz(std::uint64_t duration_ns) {
  const Sample start = sample();
  const timespec pause{0, static_cast<long>(duration_ns)};
  ::nanosleep(&pause, nullptr);
  const Sample end = sample();
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(end.ticks - start.ticks) *
                                    kNsPerSecond / (end.ns - start.ns));
}

std::uint64_t find_tsc_hz() {
  const std::optional<std::uint64_t> enumerated = enumerated_hz();
  // Hypervisors and firmware are known to enumerate nonsense: a short measurement judges it.
  const std::uint64_t measured = measured_hz(enumerated ? 5'000'000 : 20'000'000);
  if (!enumerated) return measured;
  const std::uint64_t distance =
      *enumerated > measured ? *enumerated - measured : measured - *enumerated;
  return distance <= measured / 5000 ? *enumerated : measured_hz(20'000'000);
}

}  // namespace

HostClock::HostClock()
    : uses_tsc_(tsc_is_invariant()),
      hz_(uses_tsc_ ? find_tsc_hz() : kNsPerSecond),
      ns_per_tick_((static_cast<unsigned __int128>(kNsPerSecond) << kScaleShift) / hz_),
      epoch_at_start_(std::time(nullptr)),
      offset_(host_ticks()) {}

std::uint64_t HostClock::host_ticks() const {
  return uses_tsc_ ? __rdtsc() : host_ns(CLOCK_MONOTONIC);
}

std::uint64_t HostClock::tsc() const {
  const std::uint64_t stopped = stopped_.load(std::memory_order_acquire);
  if (stopped != kRunning) return stopped;
  const std::uint64_t ticks = host_ticks();
  const std::uint64_t offset = offset_.load(std::memory_order_relaxed);
  return ticks > offset ? ticks - offset : 0;
}

std::optional<std::uint64_t> HostClock::host_tsc_bias() const {
  if (!uses_tsc_ || stopped_.load(std::memory_order_acquire) != kRunning) return {};
  return 0 - offset_.load(std::memory_order_relaxed);
}

std::uint64_t HostClock::now_ns() const {
  return static_cast<std::uint64_t>((ns_per_tick_ * tsc()) >> kScaleShift);
}

void HostClock::pause() { stopped_.store(tsc(), std::memory_order_release); }

void HostClock::resume() {
  const std::uint64_t stopped = stopped_.load(std::memory_order_relaxed);
  if (stopped == kRunning) return;
  offset_.store(host_ticks() - stopped, std::memory_order_relaxed);
  stopped_.store(kRunning, std::memory_order_release);
}

}  // namespace vireo
