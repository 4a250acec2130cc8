#pragma once
#include <array>
#include <cstdint>

#include "x86/segment.h"

namespace vireo::engine::translator {

/// What lets translated code execute system instructions by itself. Kept by TranslatorVcpu; made
/// from CpuState and the machine, never a part of the guest's state.
struct Shortcuts {
  /// A stack window and how RSP is brought to host form in it; valid as long as Cpu::window_epoch
  /// is `epoch`.
  struct Window {
    std::uint64_t delta = 0, negative_delta = 0, window = 0, epoch = ~0ull;
  };
  std::array<Window, 2> windows;          ///< the last of supervisor and of user code
  std::array<Window, 2> earlier_windows;  ///< the ones before

  /// CS and SS as SYSCALL and SYSRET to 64-bit code load them while IA32_STAR is `star`.
  struct FlatPair {
    x86::Segment cs, ss;
  };
  std::uint64_t star = 0;
  FlatPair syscall, sysret;
  bool pairs_known = false;

  /// Branch entries of both privileges are for the mode that the CPU is in.
  bool halves_agree = false;
  /// SYSRET may go on with translated code by itself.
  bool user_in_place = true;
  /// How often translated code has executed SYSCALL by itself.
  std::uint64_t system_calls = 0;

  /// Translated code has changed the privilege: SoftMmu::refresh_mode() has yet to hear of it.
  bool privilege_changed = false;

  /// The guest's TSC is the host's plus this and CpuState::tsc_offset.
  bool tsc_direct = false;
  std::uint64_t tsc_bias = 0;
};

}  // namespace vireo::engine::translator
