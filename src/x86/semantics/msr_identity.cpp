#include <algorithm>
#include <array>

#include "x86/semantics/msr_table.h"

namespace vireo::x86 {
namespace {

/// IA32_ARCH_CAPABILITIES: leaks between the guest's own privilege levels that there are none of
/// here, because its loads and branches do not run on the silicon as they stand. SDM vol. 4.
constexpr std::uint64_t kNotVulnerable = 1ull << 0 |   // RDCL_NO: Meltdown
                                         1ull << 3 |   // SKIP_L1DFL_VMENTRY
                                         1ull << 4 |   // SSB_NO
                                         1ull << 5 |   // MDS_NO
                                         1ull << 6 |   // IF_PSCHANGE_MC_NO
                                         1ull << 8 |   // TAA_NO
                                         1ull << 13 |  // SBDR_SSDP_NO
                                         1ull << 14 |  // FBSDP_NO
                                         1ull << 15 |  // PSDP_NO
                                         1ull << 20 |  // BHI_NO
                                         1ull << 24 |  // PBRSB_NO
                                         1ull << 26 |  // GDS_NO
                                         1ull << 27 |  // RFDS_NO
                                         1ull << 62;   // ITS_NO
constexpr std::uint64_t kIbrsAlways = 1u << 1;

OrFault<std::uint64_t> load_arch_capabilities(const MsrAccess& access) {
  const bool ibrs = access.model().features().has(Feature::kSpecCtrl);
  return kNotVulnerable | (ibrs ? kIbrsAlways : 0);
}

OrFault<> store_spec_ctrl(const MsrAccess& access, std::uint64_t value) {
  constexpr std::uint64_t kIbrs = 1u << 0, kStibpBit = 1u << 1, kBhiDisS = 1u << 10;
  const x86::FeatureSet& features = access.model().features();
  const std::uint64_t offered = kIbrs | (features.has(Feature::kStibp) ? kStibpBit : 0) |
                                (features.has(Feature::kBhiCtrl) ? kBhiDisS : 0);
  if (value & ~offered) return general_protection();
  return msr_store<&MsrState::spec_ctrl>(access, value);
}

OrFault<> store_pred_cmd(const MsrAccess&, std::uint64_t value) {
  constexpr std::uint64_t kIbpb = 1;
  if (value & ~kIbpb) return general_protection();
  return Unit{};
}

/// Nothing can be changed once the lock bit is set, as it is after reset.
OrFault<> store_feature_control(const MsrAccess& access, std::uint64_t value) {
  constexpr std::uint64_t kLock = 1;
  if (access.state.msr.feature_control & kLock) return general_protection();
  return msr_store_bits<&MsrState::feature_control, kLock>(access, value);
}

constexpr std::uint64_t kNoBranchTrace = 1u << 11, kNoPebs = 1u << 12;
constexpr std::uint64_t kMiscReadOnly = 1u << 7 | kNoBranchTrace | kNoPebs;
constexpr std::uint64_t kMiscWritable = 1u << 0 | 1u << 3 | 1u << 9 | 1u << 16 | 1u << 18 |
                                        1u << 22 | 1u << 23 | 1ull << 34 | 1ull << 38;

OrFault<std::uint64_t> load_misc_enable(const MsrAccess& access) {
  return access.state.msr.misc_enable | kNoBranchTrace | kNoPebs;
}
OrFault<> store_misc_enable(const MsrAccess& access, std::uint64_t value) {
  if (value & ~(kMiscWritable | kMiscReadOnly)) return general_protection();
  return msr_store<&MsrState::misc_enable>(access, value & kMiscWritable);
}

/// The ratio of the TSC to the 100 MHz bus clock.
std::uint64_t bus_ratio(const MsrAccess& access) {
  return std::min<std::uint64_t>(access.model().topology().tsc_hz / 100'000'000, 0xff);
}
OrFault<std::uint64_t> load_platform_info(const MsrAccess& access) {
  return bus_ratio(access) << 8 | bus_ratio(access) << 40;
}
OrFault<std::uint64_t> load_perf_status(const MsrAccess& access) { return bus_ratio(access) << 8; }
OrFault<std::uint64_t> load_core_count(const MsrAccess& access) {
  const std::uint64_t cpus = access.model().topology().cpus;
  return cpus << 16 | cpus;
}

OrFault<std::uint64_t> load_microcode_revision(const MsrAccess& access) {
  // Intel has it in the upper half.
  const std::uint64_t revision = access.model().microcode();
  return access.model().vendor() == Vendor::kIntel ? revision << 32 : revision;
}

constexpr std::uint64_t kLbr = 1u << 0, kBtf = 1u << 1;

}  // namespace

std::span<const MsrRow> msr_rows::identity() {
  using enum Feature;
  constexpr auto kAny = std::nullopt;
  static constexpr std::array kRows = {
      MsrRow{0x17, 1, msr_constant<0>, msr_read_only, kAny, Vendor::kIntel},
      MsrRow{0x2a, 1, msr_constant<0>, msr_ignore_write, kAny, Vendor::kIntel},
      MsrRow{0x34, 1, msr_load<&MsrState::smi_count>, msr_read_only, kAny, Vendor::kIntel},
      MsrRow{0x35, 1, load_core_count, msr_read_only, kAny, Vendor::kIntel},
      MsrRow{0x3a, 1, msr_load<&MsrState::feature_control>, store_feature_control, kAny,
             Vendor::kIntel},
      MsrRow{0x48, 1, msr_load<&MsrState::spec_ctrl>, store_spec_ctrl, kSpecCtrl},
      MsrRow{0x49, 1, msr_unreadable, store_pred_cmd, kSpecCtrl},
      MsrRow{0x79, 1, msr_unreadable, msr_ignore_write, kAny, Vendor::kIntel},
      MsrRow{0x8b, 1, load_microcode_revision, msr_ignore_write},
      MsrRow{0xce, 1, load_platform_info, msr_read_only, kAny, Vendor::kIntel},
      MsrRow{0x10a, 1, load_arch_capabilities, msr_read_only, kArchCapabilities},
      MsrRow{0x198, 1, load_perf_status, msr_read_only, kAny, Vendor::kIntel},
      MsrRow{0x1a0, 1, load_misc_enable, store_misc_enable},
      MsrRow{0x1d9, 1, msr_load<&MsrState::debug_ctl>,
             msr_store_bits<&MsrState::debug_ctl, kLbr | kBtf>},
      MsrRow{0x1db, 4, msr_constant<0>, msr_read_only},  // last branch and last interrupt
  };
  return kRows;
}

}  // namespace vireo::x86
