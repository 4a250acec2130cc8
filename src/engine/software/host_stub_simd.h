#pragma once
#include "engine/software/host_stub.h"
#include "x86/semantics/fpu_state.h"

namespace vireo::engine {

/// The stubs of floating-point instructions may only be run with such an MXCSR: the host has it
/// while they run.
constexpr bool all_simd_exceptions_masked(std::uint32_t mxcsr) {
  return (mxcsr & (x86::mxcsr::kMasks | ~x86::mxcsr::kValid)) == x86::mxcsr::kMasks;
}

/// Runs a floating-point stub for a guest that has unmasked some exceptions: #XM (#UD if
/// CR4.OSXMMEXCPT is clear) if one of them occurs, with the flags set in MXCSR and all else as
/// before.
///
/// What may differ from silicon: whether the flag of an inexact result comes with an unmasked
/// overflow or underflow, which silicon decides on the result with an unbounded exponent; and which
/// exceptions of their intermediate results the dot products report.
x86::OrFault<> run_unmasked(const HostStub& stub, x86::CpuState& state, std::byte* memory);

}  // namespace vireo::engine
