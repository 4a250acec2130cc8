#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "x86/cpuid/clock_ratio.h"
#include "x86/cpuid/cpuid_model.h"
#include "x86/cpuid/host_features.h"
#include "x86/cpuid/xsave_layout.h"

namespace vireo::x86 {
namespace {

constexpr std::uint32_t kMaxBasic = 0x16, kHypervisorBase = 0x40000000, kMaxHypervisor = 0x40000010,
                        kKvmBase = 0x40000100, kKvmFeatures = kKvmBase + 1,
                        kExtendedBase = 0x80000000;

constexpr std::uint32_t word(std::string_view text, std::size_t at) {
  std::uint32_t result = 0;
  for (std::size_t i = 0; i < 4; ++i)
    if (at + i < text.size())
      result |= std::uint32_t{static_cast<std::uint8_t>(text[at + i])} << (8 * i);
  return result;
}

std::string_view vendor_name(Vendor vendor) {
  return vendor == Vendor::kIntel ? "GenuineIntel" : "AuthenticAMD";
}

/// How many bits of an APIC id number the cores of the one package.
unsigned core_bits(unsigned cpus) { return static_cast<unsigned>(std::bit_width(cpus - 1)); }

/// Deterministic cache parameters: L1 data, L1 code, L2 per core; L3 for all. SDM vol. 2A, leaf 4.
CpuidLeaf cache_leaf(std::uint32_t subleaf, unsigned cpus) {
  struct Cache {
    std::uint32_t type, level, ways, sets;
  };
  static constexpr std::array<Cache, 4> kCaches{
      {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 1024}, {3, 3, 16, 16384}}};
  if (subleaf >= kCaches.size()) return {};
  const auto [type, level, ways, sets] = kCaches[subleaf];
  const std::uint32_t package = std::min((1u << core_bits(cpus)) - 1, 4095u);
  const std::uint32_t shared_by = level == 3 ? package : 0, self_initializing = 1u << 8;
  return {type | level << 5 | self_initializing | shared_by << 14 | std::min(package, 63u) << 26,
          (64 - 1) | (ways - 1) << 22, sets - 1, level == 3 ? 4u : 0u};
}

}  // namespace

CpuidLeaf CpuidModel::cpuid(const CpuState& state, std::uint32_t apic_id, std::uint32_t leaf,
                            std::uint32_t subleaf) const {
  const std::uint32_t max_extended = kExtendedBase + (vendor_ == Vendor::kIntel ? 0x8 : 0x21);
  const bool of_hypervisor = (leaf >= kHypervisorBase && leaf <= kMaxHypervisor) ||
                             (leaf >= kKvmBase && leaf <= kKvmFeatures);
  if (of_hypervisor && features_.has(Feature::kHypervisor)) return hypervisor_leaf(leaf);
  if (leaf >= kExtendedBase && leaf <= max_extended) return extended_leaf(leaf);
  if (leaf > kMaxBasic) {
    if (vendor_ == Vendor::kAmd) return {};
    leaf = kMaxBasic;  // Intel answers with the highest basic leaf. SDM vol. 2A, CPUID
  }
  return basic_leaf(state, apic_id, leaf, subleaf);
}

CpuidLeaf CpuidModel::basic_leaf(const CpuState& state, std::uint32_t apic_id, std::uint32_t leaf,
                                 std::uint32_t subleaf) const {
  const std::string_view vendor = vendor_name(vendor_);
  const bool intel = vendor_ == Vendor::kIntel;
  switch (leaf) {
    case 0:
      return {kMaxBasic, word(vendor, 0), word(vendor, 8), word(vendor, 4)};
    case 1:
      return feature_leaf(state, apic_id);
    case 2:  // "use leaf 4", "no prefetch size"
      return intel ? CpuidLeaf{0x00feff01, 0x000000f0, 0, 0} : CpuidLeaf{};
    case 4:
      return intel ? cache_leaf(subleaf, topology_.cpus) : CpuidLeaf{};
    case 5:  // the size of a MONITOR line; MWAIT has no extensions
      return features_.has(Feature::kMonitor) ? CpuidLeaf{64, 64, 0, 0} : CpuidLeaf{};
    case 6:
      return {feature_bits(6, 0, 0), 0, 0, 0};
    case 7: {
      if (subleaf == 2) return {0, 0, 0, feature_bits(7, 2, 3)};
      if (subleaf != 0) return {};
      const std::uint32_t last = feature_bits(7, 2, 3) != 0 ? 2 : 0;
      const bool os_uses_keys = (state.cr4 & cr4::kPke) != 0;
      const std::uint32_t no_fpu_selectors = host_deprecates_fpu_selectors() ? 1u << 13 : 0u;
      const std::uint32_t operand_at_exceptions =
          host_notes_fpu_operand_at_exceptions_only() ? 1u << 6 : 0u;
      return {last, feature_bits(7, 0, 1) | no_fpu_selectors | operand_at_exceptions,
              feature_bits(7, 0, 2) | (os_uses_keys ? 1u << 4 : 0u), feature_bits(7, 0, 3)};
    }
    case 0xb:
      return topology_leaf(apic_id, subleaf);
    case 0xd:
      return xsave_leaf(state, subleaf);
    case 0x15: {
      const ClockRatio ratio = tsc_ratio(topology_.tsc_hz);
      return {ratio.denominator, ratio.numerator, kCrystalHz, 0};
    }
    case 0x16: {
      const auto mhz = static_cast<std::uint32_t>((topology_.tsc_hz + 500'000) / 1'000'000);
      return {mhz & 0xffff, mhz & 0xffff, 100, 0};
    }
    default:
      return {};
  }
}

CpuidLeaf CpuidModel::feature_leaf(const CpuState& state, std::uint32_t apic_id) const {
  constexpr std::uint32_t kOsxsave = 1u << 27, kHtt = 1u << 28;
  const std::uint32_t addressable = 1u << core_bits(topology_.cpus);
  CpuidLeaf result{signature(), (64 / 8) << 8 | (apic_id & 0xff) << 24, feature_bits(1, 0, 2),
                   feature_bits(1, 0, 3)};
  if (topology_.cpus > 1) {
    result.edx |= kHtt;
    result.ebx |= std::min(addressable, 255u) << 16;
  }
  if (state.cr4 & cr4::kOsxsave) result.ecx |= kOsxsave;
  return result;
}

CpuidLeaf CpuidModel::topology_leaf(std::uint32_t apic_id, std::uint32_t subleaf) const {
  constexpr std::uint32_t kThreadLevel = 1, kCoreLevel = 2;
  const std::uint32_t low = subleaf & 0xff;
  if (low == 0) return {0, 1, kThreadLevel << 8, apic_id};
  if (low == 1) return {core_bits(topology_.cpus), topology_.cpus, kCoreLevel << 8 | 1, apic_id};
  return {0, 0, low, apic_id};
}

CpuidLeaf CpuidModel::xsave_leaf(const CpuState& state, std::uint32_t subleaf) const {
  if (!features_.has(Feature::kXsave)) return {};
  const std::uint64_t allowed = xcr0_allowed();
  switch (subleaf) {
    case 0:
      return {static_cast<std::uint32_t>(allowed), xsave::standard_size(state.xcr0),
              xsave::standard_size(allowed), static_cast<std::uint32_t>(allowed >> 32)};
    case 1: {
      const bool compacts = features_.has(Feature::kXsavec) || features_.has(Feature::kXsaves);
      return {feature_bits(0xd, 1, 0),
              compacts ? xsave::compacted_size(state.xcr0 | state.msr.xss) : 0, 0, 0};
    }
    case 2:
      return allowed & xcr0::kAvx ? CpuidLeaf{xsave::kYmmSize, xsave::kYmmOffset, 0, 0}
                                  : CpuidLeaf{};
    case 9:
      return allowed & xcr0::kPkru ? CpuidLeaf{xsave::kPkruSize, xsave::kPkruOffset, 0, 0}
                                   : CpuidLeaf{};
    default:
      return {};
  }
}

CpuidLeaf CpuidModel::hypervisor_leaf(std::uint32_t leaf) const {
  constexpr std::string_view kSignature = "VireoVireo  ";
  switch (leaf) {
    case kHypervisorBase:
      return {kMaxHypervisor, word(kSignature, 0), word(kSignature, 4), word(kSignature, 8)};
    case kMaxHypervisor:  // the TSC's and the local APIC timer's frequency in kHz
      return {static_cast<std::uint32_t>(topology_.tsc_hz / 1000), kCrystalHz / 1000, 0, 0};
    case kKvmBase:
    case kKvmFeatures:
      return kvm_leaf(leaf);
    default:
      return {};
  }
}

/// Whoever looks for KVM looks at each multiple of 0x100. Documentation/virt/kvm/x86/cpuid.rst.
CpuidLeaf CpuidModel::kvm_leaf(std::uint32_t leaf) const {
  constexpr std::string_view kSignature = "KVMKVMKVM";
  constexpr std::uint32_t kClockStable = 1u << 24;  // the clock's flags count
  const std::uint32_t bits = feature_bits(kKvmFeatures, 0, 0);
  if (bits == 0) return {};
  if (leaf == kKvmBase)
    return {kKvmFeatures, word(kSignature, 0), word(kSignature, 4), word(kSignature, 8)};
  return {bits | (features_.has(Feature::kKvmClock) ? kClockStable : 0), 0, 0, 0};
}

CpuidLeaf CpuidModel::extended_leaf(std::uint32_t leaf) const {
  const bool intel = vendor_ == Vendor::kIntel;
  const std::string_view vendor = vendor_name(vendor_);
  switch (leaf) {
    case kExtendedBase:
      if (intel) return {kExtendedBase + 0x8, 0, 0, 0};
      return {kExtendedBase + 0x21, word(vendor, 0), word(vendor, 8), word(vendor, 4)};
    case kExtendedBase + 1: {
      CpuidLeaf result{0, 0, feature_bits(leaf, 0, 2), feature_bits(leaf, 0, 3)};
      if (intel) return result;
      constexpr std::uint32_t kShared = 0x0183f3ff, kCmpLegacy = 1u << 1;
      result.eax = signature();
      result.edx |= feature_bits(1, 0, 3) & kShared;  // AMD repeats these. APM vol. 3, E.4.2
      if (topology_.cpus > 1) result.ecx |= kCmpLegacy;
      return result;
    }
    case kExtendedBase + 2:
    case kExtendedBase + 3:
    case kExtendedBase + 4: {
      const std::string brand = fmt::format("Vireo virtual CPU {}", name_).substr(0, 47);
      const std::size_t at = (leaf - kExtendedBase - 2) * 16;
      return {word(brand, at), word(brand, at + 4), word(brand, at + 8), word(brand, at + 12)};
    }
    case kExtendedBase + 5:  // L1: 32 KiB, 8 ways, 64-byte lines
      return intel ? CpuidLeaf{} : CpuidLeaf{0, 0, 0x20080140, 0x20080140};
    case kExtendedBase + 6:  // L2: 1 MiB, 16 ways; L3: 16 MiB, 16 ways
      return {0, 0, 1024u << 16 | 8u << 12 | (intel ? 64u : 0x140u),
              intel ? 0 : 32u << 18 | 8u << 12 | 0x140};
    case kExtendedBase + 7:
      return {0, 0, 0, feature_bits(leaf, 0, 3)};
    case kExtendedBase + 8: {
      const std::uint32_t linear = !features_.has(Feature::kLm)    ? 32
                                   : features_.has(Feature::kLa57) ? 57
                                                                   : 48;
      const std::uint32_t cores = topology_.cpus - 1, id_bits = core_bits(topology_.cpus);
      return {physical_address_bits_ | linear << 8, 0,
              intel ? 0 : std::min(cores, 255u) | (id_bits & 0xf) << 12, 0};
    }
    case kExtendedBase + 0x21: {  // LFENCE always serializes; not vulnerable to SRSO and TSA
      constexpr std::uint32_t kLfenceSerializes = 1u << 2, kSrsoNo = 1u << 29;
      constexpr std::uint32_t kTsaSqNo = 1u << 1, kTsaL1No = 1u << 2;
      return {kLfenceSerializes | kSrsoNo, 0, kTsaSqNo | kTsaL1No, 0};
    }
    default:
      return {};
  }
}

}  // namespace vireo::x86
