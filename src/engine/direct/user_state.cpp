#include "engine/direct/user_state.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "x86/control_registers.h"
#include "x86/cpuid/xsave_layout.h"
#include "x86/flags.h"

namespace vireo::engine::direct {
namespace {

namespace rflags = x86::rflags;

/// Bits of RFLAGS that user code reads and that are the same in every process of the host.
constexpr std::uint64_t kFixed = rflags::kIf | rflags::kIopl | rflags::kTf | rflags::kNt |
                                 rflags::kAc | rflags::kVm | rflags::kRf | rflags::kVif |
                                 rflags::kVip;
constexpr std::uint64_t kChangeable =
    rflags::kArithmetic | rflags::kDf | rflags::kTf | rflags::kNt | rflags::kAc | rflags::kId;

constexpr std::size_t kKnownOffset = x86::xsave::kLegacySize;  ///< XSTATE_BV
constexpr std::size_t kSoftwareOffset = 464;                   ///< the host's own, up to there

constexpr std::uint64_t kPkruOfKey0 = 3;

}  // namespace

bool runs_as_a_process(const x86::CpuState& state, bool avx) {
  constexpr std::uint64_t kUnits = x86::cr4::kOsfxsr | x86::cr4::kOsxmmexcpt;
  return state.cpl() == 3 && state.code64() && (state.rflags & kFixed) == rflags::kIf &&
         (state.cr0 & (x86::cr0::kTs | x86::cr0::kEm | x86::cr0::kNe)) == x86::cr0::kNe &&
         (state.cr4 & kUnits) == kUnits && (!avx || (state.xcr0 & x86::xcr0::kAvx) != 0) &&
         (state.dr7 & 0xff) == 0 &&
         (state.sti_shadow | state.mov_ss_shadow | state.activity | state.ferr) == 0 &&
         state.pending_debug == 0 &&
         ((state.cr4 & x86::cr4::kPke) == 0 || (state.pkru & kPkruOfKey0) == 0) &&
         state.rip < StubProcess::kEnd && state.segment[x86::kFs].base < StubProcess::kEnd &&
         state.segment[x86::kGs].base < StubProcess::kEnd;
}

StubProcess::Registers to_registers(const x86::CpuState& state) {
  const auto& gpr = state.gpr;
  StubProcess::Registers result{};
  result.rax = gpr[x86::kRax], result.rcx = gpr[x86::kRcx], result.rdx = gpr[x86::kRdx];
  result.rbx = gpr[x86::kRbx], result.rsp = gpr[x86::kRsp], result.rbp = gpr[x86::kRbp];
  result.rsi = gpr[x86::kRsi], result.rdi = gpr[x86::kRdi], result.r8 = gpr[x86::kR8];
  result.r9 = gpr[x86::kR9], result.r10 = gpr[x86::kR10], result.r11 = gpr[x86::kR11];
  result.r12 = gpr[x86::kR12], result.r13 = gpr[x86::kR13], result.r14 = gpr[x86::kR14];
  result.r15 = gpr[x86::kR15];
  result.rip = state.rip;
  result.eflags = state.rflags;
  result.fs_base = state.segment[x86::kFs].base;
  result.gs_base = state.segment[x86::kGs].base;
  return result;
}

void from_registers(const StubProcess::Registers& registers, x86::CpuState& state) {
  auto& gpr = state.gpr;
  gpr[x86::kRax] = registers.rax, gpr[x86::kRcx] = registers.rcx;
  gpr[x86::kRdx] = registers.rdx, gpr[x86::kRbx] = registers.rbx;
  gpr[x86::kRsp] = registers.rsp, gpr[x86::kRbp] = registers.rbp;
  gpr[x86::kRsi] = registers.rsi, gpr[x86::kRdi] = registers.rdi;
  gpr[x86::kR8] = registers.r8, gpr[x86::kR9] = registers.r9;
  gpr[x86::kR10] = registers.r10, gpr[x86::kR11] = registers.r11;
  gpr[x86::kR12] = registers.r12, gpr[x86::kR13] = registers.r13;
  gpr[x86::kR14] = registers.r14, gpr[x86::kR15] = registers.r15;
  state.rip = registers.rip;
  state.rflags = (state.rflags & ~kChangeable) | (registers.eflags & kChangeable);
  state.segment[x86::kFs].base = registers.fs_base;
  state.segment[x86::kGs].base = registers.gs_base;
}

void to_image(const x86::FpuState& fpu, std::span<std::byte> image) {
  // SAFETY: its first half is the legacy area, what follows the upper halves of YMM registers.
  const auto* from = reinterpret_cast<const std::byte*>(&fpu);
  std::memcpy(image.data(), from, kSoftwareOffset);
  const bool high =
      std::ranges::any_of(fpu.ymm_high, [](const auto& half) { return (half[0] | half[1]) != 0; });
  std::uint64_t known = x86::xcr0::kX87 | x86::xcr0::kSse;
  if (high && image.size() >= x86::xsave::kYmmOffset + x86::xsave::kYmmSize) {
    known |= x86::xcr0::kAvx;
    std::memcpy(image.data() + x86::xsave::kYmmOffset, fpu.ymm_high.data(), x86::xsave::kYmmSize);
  }
  std::memset(image.data() + kKnownOffset, 0, x86::xsave::kHeaderSize);
  std::memcpy(image.data() + kKnownOffset, &known, sizeof(known));
}

void from_image(std::span<const std::byte> image, x86::FpuState& fpu) {
  std::uint64_t known = 0;
  std::memcpy(&known, image.data() + kKnownOffset, sizeof(known));
  const x86::FpuState initial;
  const std::uint32_t mxcsr_mask = fpu.mxcsr_mask;
  // SAFETY: as above.
  std::memcpy(reinterpret_cast<std::byte*>(&fpu), image.data(), kSoftwareOffset);
  fpu.mxcsr_mask = mxcsr_mask;
  if ((known & x86::xcr0::kX87) == 0) {
    fpu.control = initial.control, fpu.status = initial.status, fpu.tag = initial.tag;
    fpu.opcode = initial.opcode, fpu.instruction_pointer = initial.instruction_pointer;
    fpu.data_pointer = initial.data_pointer, fpu.st = initial.st;
  }
  if ((known & x86::xcr0::kSse) == 0) fpu.xmm = initial.xmm;
  if ((known & x86::xcr0::kAvx) != 0 &&
      image.size() >= x86::xsave::kYmmOffset + x86::xsave::kYmmSize)
    std::memcpy(fpu.ymm_high.data(), image.data() + x86::xsave::kYmmOffset, x86::xsave::kYmmSize);
  else
    fpu.ymm_high = {};
}

}  // namespace vireo::engine::direct
