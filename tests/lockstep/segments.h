#pragma once
#include <cstdint>
#include <random>
#include <vector>

#include "support/guest_setup.h"

namespace vireo::test {

/// Gives the state of a mode that is not 64-bit other segments, most of which let the accesses of a
/// stream through: with bases and limits, read-only, expand-down, unusable, with a stack of 16-bit
/// addresses. ES stays writable. Code at the linear address `code` can be reached in CS.
void randomize_segments(Mode mode, x86::CpuState& state, std::mt19937_64& random,
                        std::uint64_t code);

/// Decrements the number at the linear address `counter`, of two bytes and in ES, and goes back by
/// `distance` bytes from here unless it is zero; then a breakpoint.
std::vector<std::uint8_t> loop_in_es(Mode mode, const x86::CpuState& state, std::uint64_t counter,
                                     std::size_t distance);

}  // namespace vireo::test
