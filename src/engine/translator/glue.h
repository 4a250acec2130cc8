#pragma once
#include <array>
#include <cstdint>

#include "engine/translator/code_memory.h"
#include "engine/translator/translator_cpu.h"

namespace vireo::engine::translator {

/// What translated code calls when it needs the monitor: a site's number and the answer where to go
/// on; null: leave translated code. RSP is in TranslatorCpu::rsp. The vector registers are loaded
/// again if TranslatorCpu::vectors_wanted still says so.
using SiteCallback = const void* (*)(TranslatorCpu* cpu, std::uint32_t site);

/// The quick ones are asked first: they touch no vector register, so that these stay where they
/// are, and null means only that the other one has to be asked.
struct SiteCallbacks {
  SiteCallback quick_miss, miss;      ///< an access missed
  SiteCallback quick_window, window;  ///< the stack window is elsewhere
  SiteCallback quick_indirect;        ///< the branch table does not know TranslatorCpu::target
  SiteCallback call;                  ///< an instruction for C++
};

/// The code between translated code and C++. Written once per code memory.
///
/// All of it keeps the guest's registers: they go to CpuState on the way out (R10 and R11 are there
/// always) and come from there on the way in. "Flags" are the arithmetic ones: where they are not
/// taken from the host's, they are in Cpu::flags already, or nobody will ask for them.
struct Glue {
  /// Runs translated code at `code` until it leaves. Every register of the guest's in `cpu->state`,
  /// RSP in `cpu->rsp`; the vector registers are not loaded. GS points into `cpu`: at::kOrigin.
  void (*enter)(TranslatorCpu* cpu, const void* code) = nullptr;

  // To jump to. R11D: the site's number.
  const std::uint8_t* miss = nullptr;        ///< an access missed; the flags are the host's
  const std::uint8_t* miss_saved = nullptr;  ///< the same; they are in Cpu::flags
  const std::uint8_t* window = nullptr;      ///< the stack window is elsewhere; flags in Cpu::flags
  /// The same for 64-bit code of supervisor and user. R10: the host address wanted, relative to the
  /// window; `resume` is set.
  std::array<const std::uint8_t*, 2> window_64{};
  const std::uint8_t* call = nullptr;  ///< an instruction for C++; the flags are the host's
  const std::uint8_t* call_saved = nullptr;

  // SYSCALL, with the address of the next instruction in R10, and SYSRET to 64-bit code.
  const std::uint8_t* syscall = nullptr;        ///< the flags are the host's
  const std::uint8_t* syscall_saved = nullptr;  ///< they are in Cpu::flags
  const std::uint8_t* sysret = nullptr;
  const std::uint8_t* sysret_saved = nullptr;

  const std::uint8_t* exit = nullptr;  ///< leave; R11D: why, for TranslatorCpu::exit
  const std::uint8_t* exit_saved = nullptr;
  const std::uint8_t* indirect = nullptr;  ///< R10: the target, unknown to the branch table
  const std::uint8_t* indirect_saved = nullptr;
  const std::uint8_t* load_vectors = nullptr;  ///< and go on at TranslatorCpu::resume

  static Glue write(CodeMemory& memory, const SiteCallbacks& callbacks);
};

/// Writes the part that goes back to the stack window before, which needs Glue::window.
void write_window_glue(CodeMemory& memory, Glue& glue);

/// Writes the part that executes system instructions, which needs the rest.
void write_system_glue(CodeMemory& memory, Glue& glue);

}  // namespace vireo::engine::translator
