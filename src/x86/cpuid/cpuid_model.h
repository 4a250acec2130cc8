#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "x86/cpu_state.h"
#include "x86/feature.h"

namespace vireo::x86 {

/// The four registers that CPUID answers with.
struct CpuidLeaf {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  bool operator==(const CpuidLeaf&) const = default;
};

/// Where a feature shows in CPUID and how people call it.
struct FeatureInfo {
  Feature feature;
  std::string_view name;  ///< as in /proc/cpuinfo where Linux has a name
  std::uint32_t leaf;
  std::uint32_t subleaf;
  std::uint8_t output;  ///< 0 EAX, 1 EBX, 2 ECX, 3 EDX
  std::uint8_t bit;
};
/// One row per Feature, in the order of the enumeration.
const std::vector<FeatureInfo>& feature_table();

/// What this host's silicon can do, of what Vireo can offer.
FeatureSet host_features();

/// A CPU model: a policy on CPUID. Immutable once made; shared by all vCPUs and threads.
class CpuidModel {
 public:
  struct Topology {
    unsigned cpus = 1;
    std::uint64_t tsc_hz = 0;
  };
  /// `MODEL[,+feature|,-feature]...` with MODEL of baseline, v2, v3, host. A usage error names an
  /// unknown model or feature; a host error a feature that the host lacks.
  static Result<CpuidModel> parse(std::string_view text, Topology topology);
  /// The highest of v1, v2 and v3 that the host has.
  static std::string_view default_model();

  const FeatureSet& features() const { return features_; }
  const std::string& name() const { return name_; }

  /// What CPUID answers on the CPU with this APIC id in this state (OSXSAVE, OSPKE and the sizes of
  /// leaf 0xd depend on it).
  CpuidLeaf cpuid(const CpuState& state, std::uint32_t apic_id, std::uint32_t leaf,
                  std::uint32_t subleaf) const;

  // What the features leave of the control registers.
  std::uint64_t cr4_allowed() const;
  std::uint64_t efer_allowed() const;
  std::uint64_t xcr0_allowed() const;
  unsigned physical_address_bits() const { return physical_address_bits_; }

 private:
  std::string name_;
  FeatureSet features_;
  Topology topology_;
  unsigned physical_address_bits_ = 40;
};

}  // namespace vireo::x86
