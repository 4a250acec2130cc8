#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "engine/software/host_stub_plan.h"

namespace vireo::engine {

/// Longest stub: 16 registers loaded and stored and everything else at once would still fit.
inline constexpr std::size_t kMaxStubSize = 1024;

/// The machine code of a stub, position independent, in `buffer`.
std::span<const std::uint8_t> emit_stub(const StubPlan& plan,
                                        std::array<std::uint8_t, kMaxStubSize>& buffer);

}  // namespace vireo::engine
