#pragma once
#include "engine/software/host_stub.h"

namespace vireo::engine {

/// Runs a floating-point stub for a guest that has unmasked some exceptions: #XM (#UD if
/// CR4.OSXMMEXCPT is clear) if one of them occurs, with the flags set in MXCSR and all else as
/// before.
///
/// What may differ from silicon: which exceptions of their intermediate results the dot products
/// report.
x86::OrFault<> run_unmasked(const HostStub& stub, x86::CpuState& state, std::byte* memory);

}  // namespace vireo::engine
