#pragma once
#include "x86/cpu_state.h"

namespace vireo::engine {

/// The x87 and MMX registers of the calling thread, which hold a guest's from one instruction of
/// these units to the next. The engine's own code uses neither, and no waiting instruction of the
/// monitor ever meets a pending exception of the guest; devices are called with the unit
/// initialized. Everything here is about the calling thread.
class HostX87 {
 public:
  /// Keeps `loaded` true while the registers are those of `state`, for generated code to look at;
  /// one at a time.
  class Watch {
   public:
    Watch(const x86::CpuState& state, bool& loaded) {
      watched_ = &state;
      loaded_ = &loaded;
      tell();
    }
    ~Watch() { loaded_ = nullptr; }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
  };

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
  static void set_owner(x86::CpuState* state) {
    owner_ = state;
    tell();
  }
  static void tell() {
    if (loaded_ != nullptr) *loaded_ = owner_ == watched_;
  }

  static inline constinit thread_local x86::CpuState* owner_ = nullptr;
  static inline constinit thread_local const x86::CpuState* watched_ = nullptr;
  static inline constinit thread_local bool* loaded_ = nullptr;
};

}  // namespace vireo::engine
