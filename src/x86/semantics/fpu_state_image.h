#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "x86/cpu_state.h"

namespace vireo::x86 {

/// The legacy region of FXSAVE and XSAVE. SDM vol. 1, 10.5.1.
struct LegacyImage {
  static constexpr std::size_t kSize = 512, kMxcsr = 24, kX87Registers = 32, kXmm = 160;
  static constexpr std::size_t kX87HeaderSize = 24, kX87RegistersSize = 128;

  alignas(16) std::array<std::byte, kSize> bytes{};

  /// `wide`: the 64-bit form of the pointers, which REX.W selects.
  static LegacyImage of(const FpuState& fpu, bool wide);

  std::uint32_t mxcsr() const;
  /// Loads control, status, tag, pointers and ST0-ST7.
  void load_x87(FpuState& fpu, bool wide) const;
  /// Loads XMM0 to XMM`count`-1.
  void load_xmm(FpuState& fpu, std::size_t count) const;
};

/// How many vector registers the instructions see: 16 in 64-bit mode, else 8.
constexpr std::size_t vector_registers(const CpuState& state) { return state.code64() ? 16 : 8; }

}  // namespace vireo::x86
