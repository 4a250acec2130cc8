#include "machine/lifecycle.h"

#include <fmt/format.h>

namespace vireo::machine {

const char* end_reason_name(EndReason reason) {
  switch (reason) {
    case EndReason::kPowerOff:
      return "power-off";
    case EndReason::kReset:
      return "reset";
    case EndReason::kDebugExit:
      return "debug-exit";
    case EndReason::kStopped:
      return "stopped";
    case EndReason::kTimeout:
      return "timeout";
    case EndReason::kTripleFault:
      return "triple-fault";
    case EndReason::kPanic:
      return "panic";
    case EndReason::kHostError:
      return "host-error";
  }
  return "?";
}

int exit_status(const Ending& ending) {
  switch (ending.reason) {
    case EndReason::kPowerOff:
    case EndReason::kReset:
    case EndReason::kStopped:
      return 0;
    case EndReason::kDebugExit:
      return static_cast<int>(((ending.debug_value << 1) | 1) & 0xff);
    case EndReason::kTimeout:
      return 124;
    case EndReason::kTripleFault:
    case EndReason::kPanic:
      return 4;
    case EndReason::kHostError:
      return 3;
  }
  return 3;
}

const char* mode_name(const x86::CpuState& cpu) {
  if (!cpu.protected_mode()) return "real mode";
  if (cpu.virtual8086()) return "virtual-8086 mode";
  if (cpu.code64()) return "64-bit mode";
  if (cpu.long_mode()) return "compatibility mode";
  return cpu.segment[x86::kCs].big() ? "32-bit protected mode" : "16-bit protected mode";
}

std::string describe(const Ending& ending) {
  const auto where = [&] {
    return fmt::format("at {:#06x}:{:#x} in {}, privilege level {}",
                       ending.cpu.segment[x86::kCs].selector, ending.cpu.rip, mode_name(ending.cpu),
                       ending.cpu.cpl());
  };
  switch (ending.reason) {
    case EndReason::kTripleFault:
      return fmt::format("the guest ended in a triple fault {}", where());
    case EndReason::kPanic:
      return fmt::format("the guest's kernel gave up {}: {}", where(), ending.message);
    case EndReason::kTimeout:
      return fmt::format("the time is over; the guest was {}", where());
    case EndReason::kHostError:
      return ending.message;
    default:
      return {};
  }
}

}  // namespace vireo::machine
