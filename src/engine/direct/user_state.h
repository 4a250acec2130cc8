#pragma once
#include <cstddef>
#include <span>

#include "engine/direct/stub_process.h"
#include "x86/cpu_state.h"

namespace vireo::engine::direct {

// What user code has of a CPU, between x86::CpuState and the registers of a process.

/// Whether user code that is in this state runs in a process of the host as it would on the guest's
/// CPU: 64-bit code, with what the host's kernel gives to processes of flags, units and addresses.
/// `avx`: the guest's model has AVX.
bool runs_as_a_process(const x86::CpuState& state, bool avx);

StubProcess::Registers to_registers(const x86::CpuState& state);
/// RFLAGS: what user code can change.
void from_registers(const StubProcess::Registers& registers, x86::CpuState& state);

/// The image is in the standard format of XSAVE and starts as one that store_vectors() made.
void to_image(const x86::FpuState& fpu, std::span<std::byte> image);
void from_image(std::span<const std::byte> image, x86::FpuState& fpu);

}  // namespace vireo::engine::direct
