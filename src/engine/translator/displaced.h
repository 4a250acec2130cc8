#pragma once
#include <cstdint>

#include "x86/cpu_state.h"

namespace vireo::engine::translator {

/// The guest's register is not in the host's of the same name: two are scratch, and RSP is kept in
/// host form.
constexpr bool displaced(unsigned gpr) {
  return gpr == x86::kRsp || gpr == x86::kR10 || gpr == x86::kR11;
}

/// Whether 32 bits, extended by their sign, hold the number: what code can name by itself.
constexpr bool fits32(std::uint64_t number) {
  const auto truncated = static_cast<std::int32_t>(number);
  return static_cast<std::uint64_t>(std::int64_t{truncated}) == number;
}

}  // namespace vireo::engine::translator
