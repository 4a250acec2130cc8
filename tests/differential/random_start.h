#pragma once
#include <cstdint>
#include <random>
#include <vector>

#include "differential/stream.h"
#include "x86/cpu_state.h"

namespace vireo::test {

/// Where a stream starts from.
struct Start {
  x86::CpuState state;                    ///< general registers, RIP, RFLAGS and FPU are used
  std::vector<std::uint8_t> data, stack;  ///< the active parts of the two windows
};

/// A random start for code that is to stand at `address`; what is not random is as in `base`.
Start random_start(Mode mode, const x86::CpuState& base, std::mt19937_64& random,
                   std::uint64_t address);

}  // namespace vireo::test
