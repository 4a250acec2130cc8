#pragma once
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {

/// Whether a register that holds a linear address accepts this one: segment and table bases, the
/// MSRs, and what INVPCID names. They go by the widest addresses that the CPU has, whether or not
/// CR4.LA57 is on; the address that comes of them is checked against the paging mode when it is
/// used. Intel 335252, 2.3.
inline bool canonical_base(const CpuPort& port, std::uint64_t address) {
  const unsigned shift = port.cpuid().features().has(Feature::kLa57) ? 64 - 57 : 64 - 48;
  const auto extended = static_cast<std::int64_t>(address << shift) >> shift;
  return static_cast<std::uint64_t>(extended) == address;
}

}  // namespace vireo::x86
