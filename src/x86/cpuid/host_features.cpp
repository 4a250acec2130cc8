#include "x86/cpuid/host_features.h"

#include <cpuid.h>

#include <array>

#include "x86/cpuid/feature_table.h"

namespace vireo::x86 {
namespace {

std::array<unsigned, 4> host_leaf(std::uint32_t leaf, std::uint32_t subleaf) {
  std::array<unsigned, 4> out{};
  if (static_cast<std::uint32_t>(__get_cpuid_max(leaf & 0x80000000, nullptr)) < leaf) return out;
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
  return out;
}

bool needs_ymm(Feature feature) {
  switch (feature) {
    case Feature::kAvx:
    case Feature::kAvx2:
    case Feature::kFma:
    case Feature::kF16c:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::uint64_t host_xcr0() {
  constexpr unsigned kOsxsave = 1u << 27;
  if (!(host_leaf(1, 0)[2] & kOsxsave)) return 0;
  unsigned low, high;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | std::uint64_t{high} << 32;
}

bool needs_host(Feature feature) {
  switch (feature) {
    case Feature::kFpu:
    case Feature::kMmx:
    case Feature::kFxsr:
    case Feature::kSse:
    case Feature::kSse2:
    case Feature::kSse3:
    case Feature::kSsse3:
    case Feature::kSse41:
    case Feature::kSse42:
    case Feature::kPclmulqdq:
    case Feature::kAes:
    case Feature::kSha:
    case Feature::kPopcnt:
    case Feature::kAbm:
    case Feature::kBmi1:
    case Feature::kBmi2:
    case Feature::kAdx:
    case Feature::kRdrand:
    case Feature::kRdseed:
      return true;
    default:
      return needs_ymm(feature);
  }
}

FeatureSet reported_by_host() {
  static const FeatureSet kReported = [] {
    FeatureSet set;
    const std::uint64_t ymm_state = xcr0::kSse | xcr0::kAvx;
    const bool has_ymm = (host_xcr0() & ymm_state) == ymm_state;
    for (const auto& info : feature_table()) {
      const bool present = (host_leaf(info.leaf, info.subleaf)[info.output] >> info.bit) & 1;
      set.set(info.feature, present && (has_ymm || !needs_ymm(info.feature)));
    }
    return set;
  }();
  return kReported;
}

FeatureSet host_features() {
  FeatureSet set = reported_by_host();
  for (const auto& info : feature_table())
    if (!needs_host(info.feature)) set.set(info.feature);
  return set;
}

bool host_deprecates_fpu_selectors() {
  static const bool kDeprecated = ((host_leaf(7, 0)[1] >> 13) & 1) != 0;
  return kDeprecated;
}

bool host_notes_fpu_operand_at_exceptions_only() {
  static const bool kOnly = ((host_leaf(7, 0)[1] >> 6) & 1) != 0;
  return kOnly;
}

Vendor host_vendor() {
  const unsigned ebx = host_leaf(0, 0)[1];
  constexpr unsigned kAuth = 0x68747541, kHygo = 0x6f677948;  // "Auth", "Hygo"
  return ebx == kAuth || ebx == kHygo ? Vendor::kAmd : Vendor::kIntel;
}

}  // namespace vireo::x86
