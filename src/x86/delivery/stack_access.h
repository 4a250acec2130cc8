#pragma once
#include <cstdint>

#include "x86/cpu_port.h"
#include "x86/cpu_state.h"
#include "x86/fault.h"

namespace vireo::x86 {

/// Whether a transfer of control leaves the CPU in 64-bit code, where stacks are flat.
enum class StackMode : std::uint8_t { kSegmented, kFlat64 };

/// A stack that values are pushed to or popped from, without the CPU's state being changed: the
/// caller commits rsp() once nothing can fail any more. SDM vol. 1, 6.2.
class StackAccess {
 public:
  /// The stack in use: failures are #SS(0), memory is accessed with the CPL's rights.
  StackAccess(const CpuState& state, CpuPort& port);
  /// A stack that is being switched to. `error_code` goes with #SS.
  StackAccess(const CpuState& state, CpuPort& port, const Segment& segment, std::uint64_t rsp,
              StackMode mode, Privilege privilege, std::uint32_t error_code);

  /// `width` is 2, 4 or 8 bytes.
  OrFault<> push(std::uint64_t value, unsigned width);
  OrFault<std::uint64_t> pop(unsigned width);
  /// Reads the value `depth` bytes above the top.
  OrFault<std::uint64_t> peek(std::uint64_t depth, unsigned width);
  /// Drops bytes, as RET imm does.
  void release(std::uint64_t size) { move(size); }
  void align_down(std::uint64_t alignment) { rsp_ &= ~(alignment - 1); }

  std::uint64_t rsp() const { return rsp_; }

 private:
  OrFault<LinearAddr> address(std::uint64_t offset, std::uint64_t size) const;
  std::uint64_t offset_after(std::uint64_t delta) const { return (rsp_ + delta) & mask_; }
  void move(std::uint64_t delta);

  const CpuState& state_;
  CpuPort& port_;
  Segment segment_;
  std::uint64_t rsp_;
  std::uint64_t mask_;
  StackMode mode_;
  Privilege privilege_;
  std::uint32_t error_code_;
};

}  // namespace vireo::x86
