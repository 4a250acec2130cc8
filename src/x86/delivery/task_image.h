#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// The part of a TSS that a task switch loads. SDM vol. 3A, 7.2.1 and 7.6.
struct TaskImage {
  std::uint16_t link = 0;
  std::uint32_t cr3 = 0;  ///< 32-bit TSS only
  std::uint32_t eip = 0;
  std::uint32_t eflags = 0;
  std::array<std::uint32_t, 8> gpr{};
  std::array<std::uint16_t, kSegmentCount> selector{};  ///< FS and GS: 32-bit TSS only
  std::uint16_t ldt = 0;
  bool trap = false;

  bool operator==(const TaskImage&) const = default;
};

/// How far a TSS has to reach at least: its limit is not below this.
constexpr std::uint32_t minimum_tss_limit(bool wide) { return wide ? 0x67 : 0x2b; }

/// The bytes of the TSS that a switch away from the task writes.
struct SavedRange {
  std::uint32_t offset;
  std::uint32_t size;
};
constexpr SavedRange saved_range(bool wide) {
  return wide ? SavedRange{0x20, 0x40} : SavedRange{0x0e, 0x1c};
}

/// Reads the TSS at `base`, whose limit has been checked.
OrFault<TaskImage> read_task(const CpuState& state, CpuPort& port, std::uint64_t base, bool wide);

/// Writes EIP, `flags`, general registers and segment selectors to the current TSS.
OrFault<> save_task(const CpuState& state, CpuPort& port, std::uint64_t flags);

}  // namespace vireo::x86
