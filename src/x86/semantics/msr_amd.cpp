#include <array>

#include "x86/semantics/msr_table.h"

namespace vireo::x86 {
namespace {

constexpr std::uint64_t kTscCountsAtP0 = 1u << 24;    // HWCR
constexpr std::uint64_t kLfenceSerializes = 1u << 1;  // DE_CFG
constexpr std::uint64_t kSvmDisabled = 1u << 4;       // VM_CR

/// Configuration of a chipset that there is none of: reads as a constant, writes go nowhere.
template <std::uint64_t kValue = 0>
constexpr MsrRow configuration(std::uint32_t first, std::uint32_t count = 1) {
  return {first, count, msr_constant<kValue>, msr_ignore_write, std::nullopt, Vendor::kAmd};
}

}  // namespace

// What operating systems touch without asking first. AMD BKDG and PPR, "MSRs".
std::span<const MsrRow> msr_rows::amd() {
  static constexpr std::array kRows = {
      configuration(0xc0010000, 8),                  // PerfEvtSel0-3, PerfCtr0-3: none counts
      configuration(0xc0010010),                     // SYSCFG
      configuration<kTscCountsAtP0>(0xc0010015),     // HWCR
      configuration(0xc001001a),                     // TOP_MEM
      configuration(0xc001001d),                     // TOP_MEM2
      configuration(0xc001001f),                     // NB_CFG
      configuration(0xc0010055),                     // INT_PENDING
      configuration(0xc0010058),                     // MMIO_CFG_BASE
      configuration(0xc0010112, 2),                  // TSEG address and mask
      configuration<kSvmDisabled>(0xc0010114),       // VM_CR
      configuration(0xc0011020, 9),                  // LS_CFG, IC_CFG, DC_CFG, BU_CFG, ...
      configuration<kLfenceSerializes>(0xc0011029),  // DE_CFG
      configuration(0xc001102a, 6),                  // BU_CFG2, ...
  };
  return kRows;
}

}  // namespace vireo::x86
