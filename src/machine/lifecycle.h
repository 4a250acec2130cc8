#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "x86/cpu_state.h"

namespace vireo::machine {

/// Why a machine ended.
enum class EndReason : std::uint8_t {
  kPowerOff,     ///< the guest switched the power off
  kReset,        ///< the guest reset the machine, and the user wanted that to be the end
  kDebugExit,    ///< the guest wrote to the debug-exit port
  kStopped,      ///< somebody outside asked for it: a signal, Ctrl-A X
  kTimeout,      ///< the time that the user allowed is over
  kTripleFault,  ///< the guest failed
  kPanic,        ///< the guest failed: its kernel said so and gave up
  kHostError,    ///< the host could not go on
};
const char* end_reason_name(EndReason reason);

struct Ending {
  EndReason reason = EndReason::kStopped;
  std::uint32_t debug_value = 0;        ///< what was written to the debug-exit port
  std::string message;                  ///< the panic line or the host's error; may be empty
  x86::CpuState cpu;                    ///< of the boot CPU, at the end
  std::vector<std::string> last_lines;  ///< of the serial console
};

/// The exit status of the program that ran the machine: 0, 3, 4, 124 or (value << 1) | 1.
int exit_status(const Ending& ending);

/// One or two sentences for people, with where the guest was when it failed; empty for a clean end.
std::string describe(const Ending& ending);

/// "64-bit mode", "real mode" ...
const char* mode_name(const x86::CpuState& cpu);

}  // namespace vireo::machine
