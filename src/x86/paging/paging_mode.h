#pragma once
#include <array>
#include <cstdint>

#include "base/address.h"
#include "x86/cpu_port.h"
#include "x86/cpu_state.h"

namespace vireo::x86 {

/// Everything but the address and the access that decides how an address is translated. Computed
/// once per change of CR0, CR3, CR4, EFER, PKRU or PDPTEs. SDM vol. 3A, 4.1.
struct PagingMode {
  enum class Kind : std::uint8_t { kNone, k32Bit, kPae, k4Level, k5Level };

  Kind kind = Kind::kNone;
  bool write_protect = false;  ///< CR0.WP
  bool smep = false;
  bool smap = false;
  bool execute_disable = false;  ///< EFER.NXE
  bool large_pages = false;      ///< CR4.PSE: 4 MiB pages in 32-bit paging
  bool pse36 = false;            ///< 4 MiB pages may be above 4 GiB
  bool huge_pages = false;       ///< 1 GiB pages exist
  bool global_pages = false;     ///< CR4.PGE
  bool attributes = false;       ///< entries that map a page have a PAT bit
  bool protection_keys = false;  ///< CR4.PKE in 4- and 5-level paging
  std::uint8_t physical_address_bits = 40;
  std::uint32_t pkru = 0;
  std::uint64_t cr3 = 0;
  std::array<std::uint64_t, 4> pdpte{};

  static PagingMode of(const CpuState& state, const CpuidModel& model);
  bool operator==(const PagingMode&) const = default;
};

/// Reads the four page-directory-pointer-table entries that PAE paging keeps in registers;
/// #GP(0) if one that is present has a reserved bit set. SDM vol. 3A, 4.4.1.
OrFault<std::array<std::uint64_t, 4>> load_pdptes(CpuPort& port, std::uint64_t cr3,
                                                  unsigned physical_address_bits);

}  // namespace vireo::x86
