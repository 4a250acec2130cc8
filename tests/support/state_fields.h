#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "x86/cpu_state.h"

namespace vireo::test {

/// A number of up to 256 bits, least significant word first: the widest register.
using WideNumber = std::array<std::uint64_t, 4>;

/// Reads a part of the CPU by name; empty if there is no such part. Names are
/// - registers: rax ... r15, rip, rflags, cr0, dr7, xmm3, ymm3, st2, mm1
/// - flags: cf pf af zf sf tf if df of iopl nt rf vm ac vif vip id; `flags` is the six of
/// arithmetic
/// - segments: cs, ds ... (the selector), cs.base, cs.limit, cs.access, also for ldtr and tr
/// - everything else as CpuState::fields calls it: msr.star, fpu.mxcsr, gdtr.base, pdpte.1
std::optional<WideNumber> get_field(const x86::CpuState& state, std::string_view name);
/// False if there is no such part.
bool set_field(x86::CpuState& state, std::string_view name, const WideNumber& number);

}  // namespace vireo::test
