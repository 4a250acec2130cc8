#pragma once
#include <cstdint>
#include <optional>
#include <span>
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

/// What a guest can be offered on this host: what Vireo implements itself, and the instruction sets
/// that it executes with the host's own instructions where the host has them.
FeatureSet host_features();

/// Whose CPU it pretends to be. Where the two differ, in leaves, MSRs and instructions, guests
/// expect the behaviour of the vendor that they read.
enum class Vendor : std::uint8_t { kIntel, kAmd };

/// A CPU model: a policy on CPUID. Immutable once made; shared by all vCPUs and threads.
class CpuidModel {
 public:
  struct Topology {
    unsigned cpus = 1;
    std::uint64_t tsc_hz = 0;
    std::optional<Vendor> vendor;  ///< the host's if empty
  };
  /// `MODEL[,+feature|,-feature|,vendor=intel|,vendor=amd]...` with MODEL of baseline, v2, v3,
  /// host. A vendor in the text goes before the topology's. A usage error names an unknown model,
  /// feature or vendor; a host error a feature that the host lacks.
  static Result<CpuidModel> parse(std::string_view text, Topology topology);
  /// The highest of v1, v2 and v3 that the host has.
  static std::string_view default_model();
  /// Every MODEL, from the plainest on.
  static std::span<const std::string_view> model_names();
  /// The features of a MODEL with one CPU on this host; empty for an unknown name. With several
  /// each has more: what lets CPUs of a guest wait for each other without keeping the host busy.
  static std::optional<FeatureSet> model_features(std::string_view model);

  const FeatureSet& features() const { return features_; }
  const std::string& name() const { return name_; }
  const Topology& topology() const { return topology_; }
  Vendor vendor() const { return vendor_; }
  /// Family, model and stepping as leaf 1 has them in EAX, and EDX after a reset: those of a CPU
  /// that has no more than the model.
  std::uint32_t signature() const;
  /// What the MSR says of that CPU's microcode.
  std::uint32_t microcode() const;

  /// What CPUID answers on the CPU with this APIC id in this state (OSXSAVE, OSPKE and the sizes of
  /// leaf 0xd depend on it).
  CpuidLeaf cpuid(const CpuState& state, std::uint32_t apic_id, std::uint32_t leaf,
                  std::uint32_t subleaf) const;

  // What the features leave of the control registers.
  std::uint64_t cr4_allowed() const;
  std::uint64_t efer_allowed() const;
  std::uint64_t xcr0_allowed() const;
  unsigned physical_address_bits() const { return physical_address_bits_; }

  /// The leaf's feature bits in one output register, from the feature table.
  std::uint32_t feature_bits(std::uint32_t leaf, std::uint32_t subleaf, unsigned output) const;

 private:
  CpuidLeaf basic_leaf(const CpuState& state, std::uint32_t apic_id, std::uint32_t leaf,
                       std::uint32_t subleaf) const;
  CpuidLeaf feature_leaf(const CpuState& state, std::uint32_t apic_id) const;
  CpuidLeaf topology_leaf(std::uint32_t apic_id, std::uint32_t subleaf) const;
  CpuidLeaf xsave_leaf(const CpuState& state, std::uint32_t subleaf) const;
  CpuidLeaf hypervisor_leaf(std::uint32_t leaf) const;
  CpuidLeaf kvm_leaf(std::uint32_t leaf) const;
  CpuidLeaf extended_leaf(std::uint32_t leaf) const;

  std::string name_;
  Vendor vendor_ = Vendor::kIntel;
  FeatureSet features_;
  Topology topology_;
  unsigned physical_address_bits_ = 40;
};

}  // namespace vireo::x86
