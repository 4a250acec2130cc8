#include <array>

#include "x86/paging/page_table_entry.h"
#include "x86/semantics/msr_table.h"

namespace vireo::x86 {
namespace {

constexpr std::uint32_t kVariableRanges = 8;
constexpr std::uint64_t kFixedSupported = 1u << 8, kWriteCombining = 1u << 10;
constexpr std::uint64_t kMtrrCap = kVariableRanges | kFixedSupported | kWriteCombining;
constexpr std::uint64_t kDefTypeBits = 0xcff;  // type, FE and E

/// UC, WC, WT, WP, WB. SDM vol. 3A, table 11-8.
bool is_memory_type(std::uint64_t type) { return type < 2 || (type >= 4 && type <= 6); }
/// The same and UC-. Table 11-10.
bool is_pat_type(std::uint64_t type) { return is_memory_type(type) || type == 7; }

bool all_bytes(std::uint64_t value, bool (*valid)(std::uint64_t)) {
  for (unsigned shift = 0; shift < 64; shift += 8)
    if (!valid((value >> shift) & 0xff)) return false;
  return true;
}

OrFault<> store_pat(const MsrAccess& access, std::uint64_t value) {
  if (!all_bytes(value, is_pat_type)) return general_protection();
  return msr_store<&MsrState::pat>(access, value);
}

OrFault<> store_def_type(const MsrAccess& access, std::uint64_t value) {
  if ((value & ~kDefTypeBits) || !is_memory_type(value & 0xff)) return general_protection();
  return msr_store<&MsrState::mtrr_def_type>(access, value);
}

/// Which of the eleven fixed-range MTRRs: 64K_00000, 16K_80000, 16K_A0000, 4K_C0000, ...
template <std::uint32_t kFirst>
OrFault<std::uint64_t> load_fixed(const MsrAccess& access) {
  return access.state.msr.mtrr_fixed[kFirst + access.offset];
}
template <std::uint32_t kFirst>
OrFault<> store_fixed(const MsrAccess& access, std::uint64_t value) {
  if (!all_bytes(value, is_memory_type)) return general_protection();
  access.state.msr.mtrr_fixed[kFirst + access.offset] = value;
  return Unit{};
}

OrFault<std::uint64_t> load_variable(const MsrAccess& access) {
  return access.state.msr.mtrr_variable[access.offset];
}
OrFault<> store_variable(const MsrAccess& access, std::uint64_t value) {
  const bool is_mask = access.offset % 2 != 0;
  std::uint64_t reserved = pte::above(access.model().physical_address_bits(), 63);
  reserved |= is_mask ? 0x7ff : 0xf00;
  if (value & reserved) return general_protection();
  if (!is_mask && !is_memory_type(value & 0xff)) return general_protection();
  access.state.msr.mtrr_variable[access.offset] = value;
  return Unit{};
}

}  // namespace

// Memory types have no effect: every access is coherent. They are kept for the guest to read.
std::span<const MsrRow> msr_rows::memory_type() {
  using enum Feature;
  static constexpr std::array kRows = {
      MsrRow{0xfe, 1, msr_constant<kMtrrCap>, msr_read_only, kMtrr},
      MsrRow{0x200, 2 * kVariableRanges, load_variable, store_variable, kMtrr},
      MsrRow{0x250, 1, load_fixed<0>, store_fixed<0>, kMtrr},
      MsrRow{0x258, 2, load_fixed<1>, store_fixed<1>, kMtrr},
      MsrRow{0x268, 8, load_fixed<3>, store_fixed<3>, kMtrr},
      MsrRow{0x277, 1, msr_load<&MsrState::pat>, store_pat, kPat},
      MsrRow{0x2ff, 1, msr_load<&MsrState::mtrr_def_type>, store_def_type, kMtrr},
  };
  return kRows;
}

}  // namespace vireo::x86
