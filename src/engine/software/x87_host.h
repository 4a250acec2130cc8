#pragma once
#include "x86/cpu_state.h"

namespace vireo::engine {

/// The x87 and MMX registers of the calling thread, which hold a guest's from one instruction of
/// these units to the next. The monitor's own code uses neither, and no waiting instruction of the
/// monitor ever meets a pending exception of the guest. Everything here is about the calling
/// thread.
class HostX87 {
 public:
  static void ensure_loaded(x86::CpuState& state) {
    if (owner_ != &state) [[unlikely]]
      load(state);
  }
  /// Writes the registers back to the state whose they are and initializes the unit.
  static void sync(x86::CpuState& state) {
    if (owner_ == &state) store();
  }
  /// Drops the registers, whosever they are.
  static void discard();
  /// MM0-MM7 of the loaded state, which by that becomes MMX state: top of stack 0, nothing empty.
  static std::uint64_t read_mmx(x86::CpuState& state, unsigned number);

 private:
  static void load(x86::CpuState& state);
  static void store();

  static inline constinit thread_local x86::CpuState* owner_ = nullptr;
};

}  // namespace vireo::engine
