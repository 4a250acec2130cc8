#pragma once
#include <cstdint>

namespace vireo::x86 {

/// What leaf 0x15 calls the core crystal clock. Guests take it for the frequency that the local
/// APIC timer counts with (before its divider), so it is that.
inline constexpr std::uint32_t kCrystalHz = 1'000'000'000;

struct ClockRatio {
  std::uint32_t numerator = 0, denominator = 0;
};

/// TSC frequency as a fraction of kCrystalHz, for leaf 0x15: the best approximation whose numerator
/// times the crystal's kHz fits in 32 bits, because guests multiply so. 0/0 for 0 Hz, which CPUID
/// reads as "not enumerated".
ClockRatio tsc_ratio(std::uint64_t tsc_hz);

}  // namespace vireo::x86
