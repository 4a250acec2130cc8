#include <array>
#include <tuple>

#include "x86/semantics/msr_table.h"

namespace vireo::x86 {
namespace {

constexpr std::uint32_t kBanks = std::tuple_size_v<decltype(MsrState::mc_banks)> / 4;
constexpr std::uint64_t kControlPresent = 1u << 8;
constexpr std::uint64_t kStatusBits = 0x7;  // RIPV, EIPV, MCIP

enum BankRegister : std::uint32_t { kControl, kStatus, kAddress, kMiscellaneous };

OrFault<> store_global_control(const MsrAccess& access, std::uint64_t value) {
  if (value != 0 && value != ~0ull) return general_protection();
  return msr_store<&MsrState::mcg_ctl>(access, value);
}

OrFault<std::uint64_t> load_bank(const MsrAccess& access) {
  return access.state.msr.mc_banks[access.offset];
}

/// SDM vol. 3B, 15.3.2. CTL takes all zeros or all ones (systems clear bit 0 or 10 of it to work
/// around old hardware: those are free); STATUS can only be cleared.
OrFault<> store_bank(const MsrAccess& access, std::uint64_t value) {
  constexpr std::uint64_t kFree = 1u << 0 | 1u << 10;
  switch (access.offset % 4) {
    case kControl:
      if (value != 0 && (value | kFree) != ~0ull) return general_protection();
      break;
    case kStatus:
      if (value != 0) return general_protection();
      break;
    default:
      break;
  }
  access.state.msr.mc_banks[access.offset] = value;
  return Unit{};
}

}  // namespace

std::span<const MsrRow> msr_rows::machine_check() {
  using enum Feature;
  static constexpr std::array kRows = {
      MsrRow{0x179, 1, msr_constant<kBanks | kControlPresent>, msr_read_only, kMca},
      MsrRow{0x17a, 1, msr_load<&MsrState::mcg_status>,
             msr_store_bits<&MsrState::mcg_status, kStatusBits>, kMca},
      MsrRow{0x17b, 1, msr_load<&MsrState::mcg_ctl>, store_global_control, kMca},
      MsrRow{0x400, 4 * kBanks, load_bank, store_bank, kMca},
  };
  return kRows;
}

}  // namespace vireo::x86
