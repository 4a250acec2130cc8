#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "x86/cpu_state.h"

namespace vireo::test {

/// A CPU mode with everything around it that code needs to run and to be interrupted.
enum class Mode : std::uint8_t {
  kReal,             ///< 16-bit real mode
  kRealBig,          ///< real mode with 4 GiB data segments left over from protected mode
  kProtected16,      ///< 16-bit segments with bases, CPL 0, no paging
  kProtected32,      ///< flat 32-bit, CPL 0, no paging
  kPaged32,          ///< flat 32-bit, CPL 0, 32-bit paging
  kPae32,            ///< flat 32-bit, CPL 0, PAE paging
  kProtected32User,  ///< flat 32-bit, CPL 3, 32-bit paging
  kV86,              ///< virtual-8086 with IOPL 3, no paging
  kCompat,           ///< 32-bit code at CPL 3 under a 64-bit kernel
  kCompatKernel,     ///< 32-bit code at CPL 0 under a 64-bit kernel
  kLongUser,         ///< 64-bit, CPL 3
  kLongKernel,       ///< 64-bit, CPL 0
};

std::optional<Mode> parse_mode(std::string_view name);

/// Bytes to be put at a linear (and physical) address.
struct Poke {
  std::uint64_t address;
  std::vector<std::uint8_t> bytes;
};

struct GuestSetup {
  x86::CpuState state;
  std::vector<Poke> pokes;
};

/// The mode's descriptor tables, page tables, handlers and a CPU about to run at layout::kCode,
/// interrupts off at CPL 0 and on at CPL 3. General registers hold telling patterns.
GuestSetup prepare(Mode mode);

bool is_user(Mode mode);
bool is_16bit(Mode mode);
unsigned code_width(Mode mode);  ///< of addresses: 2, 4 or 8 bytes
bool is_long(Mode mode);         ///< IA-32e: 64-bit or compatibility

}  // namespace vireo::test
