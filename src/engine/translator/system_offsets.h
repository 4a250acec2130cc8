#pragma once
#include <cstddef>

#include "engine/translator/translator_cpu.h"

namespace vireo::engine::translator {

// More offsets from GS, for system instructions; see translator_cpu.h.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winvalid-offsetof"
#define VIREO_CPU_OFFSET(member)                                                            \
  (static_cast<std::size_t>(offsetof(::vireo::engine::translator::TranslatorCpu, member)) - \
   ::vireo::engine::translator::at::kOrigin)
namespace at {
inline constexpr std::size_t kCr0 = VIREO_CPU_OFFSET(state.cr0);
inline constexpr std::size_t kCr2 = VIREO_CPU_OFFSET(state.cr2);
inline constexpr std::size_t kCr3 = VIREO_CPU_OFFSET(state.cr3);
inline constexpr std::size_t kCr4 = VIREO_CPU_OFFSET(state.cr4);
inline constexpr std::size_t kPkru = VIREO_CPU_OFFSET(state.pkru);
inline constexpr std::size_t kEfer = VIREO_CPU_OFFSET(state.msr.efer);
inline constexpr std::size_t kStar = VIREO_CPU_OFFSET(state.msr.star);
inline constexpr std::size_t kLstar = VIREO_CPU_OFFSET(state.msr.lstar);
inline constexpr std::size_t kFmask = VIREO_CPU_OFFSET(state.msr.fmask);
inline constexpr std::size_t kKernelGsBase = VIREO_CPU_OFFSET(state.msr.kernel_gs_base);
inline constexpr std::size_t kTscAux = VIREO_CPU_OFFSET(state.msr.tsc_aux);
inline constexpr std::size_t kTscOffset = VIREO_CPU_OFFSET(state.tsc_offset);
inline constexpr std::size_t kInterruptHint = VIREO_CPU_OFFSET(interrupt_hint);
inline constexpr std::size_t kCurrentTlb = VIREO_CPU_OFFSET(current_tlb);
inline constexpr std::size_t kTlbPointer = VIREO_CPU_OFFSET(tlb);
inline constexpr std::size_t kWindowEpoch = VIREO_CPU_OFFSET(window_epoch);
inline constexpr std::size_t kShortcuts = VIREO_CPU_OFFSET(shortcuts);
inline constexpr std::size_t kKnownStar = VIREO_CPU_OFFSET(shortcuts.star);
inline constexpr std::size_t kPairsKnown = VIREO_CPU_OFFSET(shortcuts.pairs_known);
inline constexpr std::size_t kSyscallPair = VIREO_CPU_OFFSET(shortcuts.syscall);
inline constexpr std::size_t kSysretPair = VIREO_CPU_OFFSET(shortcuts.sysret);
inline constexpr std::size_t kHalvesAgree = VIREO_CPU_OFFSET(shortcuts.halves_agree);
inline constexpr std::size_t kUserInPlace = VIREO_CPU_OFFSET(shortcuts.user_in_place);
inline constexpr std::size_t kSystemCalls = VIREO_CPU_OFFSET(shortcuts.system_calls);
inline constexpr std::size_t kPrivilegeChanged = VIREO_CPU_OFFSET(shortcuts.privilege_changed);
inline constexpr std::size_t kTscDirect = VIREO_CPU_OFFSET(shortcuts.tsc_direct);
inline constexpr std::size_t kTscBias = VIREO_CPU_OFFSET(shortcuts.tsc_bias);

inline constexpr std::size_t segment(unsigned s) { return kSegments + s * sizeof(x86::Segment); }
inline constexpr std::size_t window(bool user, std::size_t member) {
  return kShortcuts + offsetof(Shortcuts, windows) + (user ? sizeof(Shortcuts::Window) : 0) +
         member;
}
inline constexpr std::size_t earlier_window(bool user, std::size_t member) {
  return window(user, member) + offsetof(Shortcuts, earlier_windows) - offsetof(Shortcuts, windows);
}
}  // namespace at
#undef VIREO_CPU_OFFSET
#pragma clang diagnostic pop

}  // namespace vireo::engine::translator
