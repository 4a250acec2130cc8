#include "x86/cpuid/real_cpu.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/assert.h"

namespace vireo::x86 {
namespace {

using enum Feature;

FeatureSet set_of(std::initializer_list<Feature> features) {
  FeatureSet set;
  for (const Feature feature : features) set.set(feature);
  return set;
}

}  // namespace

std::span<const RealCpu> real_cpus() {
  // docs/decisions/0027 says why these. Signatures: SDM vol. 4, table 2-1; AMD's revision guides.
  static const std::array kCpus = {
      RealCpu{"haswell", Vendor::kIntel, 0x000306f2, 1,
              set_of({kSse3,     kPclmulqdq, kSsse3, kFma,      kCx16,    kSse41, kSse42,
                      kMovbe,    kPopcnt,    kXsave, kXsaveopt, kAvx,     kF16c,  kRdrand,
                      kFsgsbase, kBmi1,      kAvx2,  kBmi2,     kInvpcid, kLahf,  kAbm})},
      RealCpu{"nehalem", Vendor::kIntel, 0x000106a5, 1,
              set_of({kSse3, kSsse3, kCx16, kSse41, kSse42, kPopcnt, kLahf})},
      RealCpu{"", Vendor::kIntel, 0x000006d8, 1, {}},  // Pentium M: the last without SSE3
      RealCpu{"znver3", Vendor::kAmd, 0x00a00f11, 0x0a0011d5,
              set_of({kSse3,       kPclmulqdq, kSsse3,  kFma,     kCx16,   kSse41,
                      kSse42,      kMovbe,     kPopcnt, kAes,     kXsave,  kXsaveopt,
                      kXsavec,     kXsaves,    kAvx,    kF16c,    kRdrand, kFsgsbase,
                      kBmi1,       kAvx2,      kBmi2,   kInvpcid, kRdseed, kAdx,
                      kClflushopt, kSha,       kRdpid,  kLahf,    kAbm,    k3dnowPrefetch})},
      RealCpu{"k8", Vendor::kAmd, 0x00010ff0, 1, {}},
  };
  return kCpus;
}

const RealCpu& real_cpu_within(const FeatureSet& features, Vendor vendor) {
  const auto cpus = real_cpus();
  const auto found = std::ranges::find_if(cpus, [&](const RealCpu& cpu) {
    return cpu.vendor == vendor && (cpu.features & features) == cpu.features;
  });
  VIREO_ASSERT(found != cpus.end());
  return *found;
}

}  // namespace vireo::x86
