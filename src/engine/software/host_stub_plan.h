#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "engine/software/host_stub.h"

namespace vireo::engine {

/// What a stub has to do around the one instruction that it executes.
struct StubPlan {
  /// How much of a vector register is meant. A legacy instruction leaves the upper half of a YMM
  /// register alone; a VEX one that writes an XMM register clears it.
  enum class Width : std::uint8_t { kNone, kXmm, kXmmClearingUpper, kYmm };

  struct GprUse {
    std::uint8_t guest = 0;  ///< number in CpuState::gpr
    std::uint8_t host = 0;   ///< number in the stub: one of RAX, RCX, RDX
    std::uint8_t width = 0;  ///< in bytes; 4 is written with the upper half cleared
    bool read = false;
    bool written = false;
  };

  /// The instruction for the host in 64-bit mode: same vector and x87 registers, the memory operand
  /// at [RSI], general registers as in `gpr`. What the instruction does not depend on is gone, so
  /// that equal bytes mean equal stubs.
  std::array<std::uint8_t, 15> bytes{};
  std::uint8_t length = 0;

  std::array<Width, 16> loads{};
  std::array<Width, 16> stores{};
  std::array<GprUse, 3> gpr{};
  std::uint8_t gpr_count = 0;
  bool flags_in = false;
  bool flags_out = false;
  bool uses_ymm = false;
  bool writes_control = false;  ///< x87 control word

  /// All but the code.
  HostStub stub;

  std::span<const std::uint8_t> code() const { return std::span(bytes).first(length); }
};

/// The plan for an instruction; empty if it is not one that a stub can execute.
std::optional<StubPlan> plan_stub(const x86::Insn& insn);

}  // namespace vireo::engine
