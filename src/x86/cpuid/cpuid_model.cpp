#include "x86/cpuid/cpuid_model.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "x86/cpuid/feature_table.h"
#include "x86/cpuid/host_features.h"
#include "x86/cpuid/real_cpu.h"

namespace vireo::x86 {
namespace {

using enum Feature;

constexpr std::array<std::string_view, 4> kModels = {"baseline", "v2", "v3", "host"};

FeatureSet with(FeatureSet set, std::initializer_list<Feature> more) {
  for (const Feature feature : more) set.set(feature);
  return set;
}

/// x86-64-v1 and what an operating system expects to find around it. ERMS and FSRM are no new
/// instructions: they tell the guest that REP MOVS and REP STOS are the fast way to move memory.
/// SPEC_CTRL, BHI_CTRL and ARCH_CAPABILITIES let it leave out mitigations that it does not need
/// here.
FeatureSet baseline_features() {
  return with({}, {kFpu,    kVme,          kDe,    kPse,       kTsc,      kMsr,
                   kPae,    kMce,          kCx8,   kApic,      kSep,      kMtrr,
                   kPge,    kMca,          kCmov,  kPat,       kPse36,    kClflush,
                   kMmx,    kFxsr,         kSse,   kSse2,      kX2apic,   kTscDeadline,
                   kArat,   kHypervisor,   kErms,  kFsrm,      kSyscall,  kNx,
                   kLm,     kInvariantTsc, kStibp, kTscAdjust, kSpecCtrl, kArchCapabilities,
                   kBhiCtrl});
}

FeatureSet v2_features() {
  return with(baseline_features(), {kSse3, kSsse3, kSse41, kSse42, kPopcnt, kCx16, kLahf, kRdtscp,
                                    kPdpe1gb, k3dnowPrefetch, kPcid});
}

FeatureSet v3_features() {
  return with(v2_features(),
              {kAvx, kAvx2, kBmi1, kBmi2, kFma, kF16c, kAbm, kMovbe, kXsave, kXsaveopt, kXsavec,
               kXgetbv1, kXsaves, kFsgsbase, kInvpcid, kSmep, kSmap, kUmip, kRdpid});
}

/// What CPUs that share the host's tell each other. Not KVMCLOCK: reading the TSC is cheaper.
FeatureSet features_of_many() {
  return with({}, {kKvmStealTime, kKvmPvUnhalt, kKvmPvTlbFlush, kKvmPvIpi, kKvmPvSchedYield});
}

/// Taken along by v1 to v3 where the host has them: they make a guest start or work faster.
FeatureSet optional_features(std::string_view model) {
  if (model == "baseline") return with({}, {kRdrand});
  if (model == "v2") return with({}, {kRdrand, kAes, kPclmulqdq});
  return with({}, {kRdrand, kRdseed, kAes, kPclmulqdq, kAdx, kSha, kClflushopt});
}

FeatureSet required_features(std::string_view model) {
  if (model == "baseline") return baseline_features();
  return model == "v2" ? v2_features() : v3_features();
}

/// What the host's own CPU shows, plus what every guest gets from us anyway. Not MONITOR: waiting
/// for a store is no better than HLT here.
FeatureSet host_model_features() {
  FeatureSet set = reported_by_host() & host_features();
  const FeatureSet base = baseline_features() & host_features();
  for (const auto& info : feature_table())
    if (base.has(info.feature)) set.set(info.feature);
  set.set(kMonitor, false);
  return set;
}

FeatureSet united(FeatureSet a, const FeatureSet& b) {
  for (const auto& info : feature_table())
    if (b.has(info.feature)) a.set(info.feature);
  return a;
}

/// The first feature that the set has and the host cannot give.
std::optional<Feature> missing_on_host(const FeatureSet& set) {
  const FeatureSet host = host_features();
  for (const auto& info : feature_table())
    if (set.has(info.feature) && !host.has(info.feature)) return info.feature;
  return std::nullopt;
}

/// Takes out what lacks something it builds on; an error if it was asked for by name.
Result<> drop_dependents(FeatureSet& set, const FeatureSet& explicitly) {
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto& [feature, needs] : feature_dependencies()) {
      if (!set.has(feature) || set.has(needs)) continue;
      if (explicitly.has(feature))
        return usage_error("CPU feature {0} needs {1}: add +{1} or leave out +{0}",
                           feature_info(feature).name, feature_info(needs).name);
      set.set(feature, false);
      changed = true;
    }
  }
  return Unit{};
}

Result<> apply_change(std::string_view change, FeatureSet& set, FeatureSet& explicitly) {
  const bool add = change.starts_with('+');
  if (!add && !change.starts_with('-'))
    return usage_error("CPU feature '{}' needs a + or - in front of it", change);
  const std::string_view name = change.substr(1);
  const auto feature = find_feature(name);
  if (!feature) {
    const std::string_view near = nearest_feature_name(name);
    if (near.empty()) return usage_error("there is no CPU feature '{}'", name);
    return usage_error("there is no CPU feature '{}'; did you mean '{}'?", name, near);
  }
  if (add && !host_features().has(*feature))
    return host_error("this host's CPU has no {}: leave out +{}", feature_info(*feature).name,
                      name);
  set.set(*feature, add);
  explicitly.set(*feature, add);
  return Unit{};
}

constexpr std::string_view kVendorPrefix = "vendor=";

Result<Vendor> parse_vendor(std::string_view name) {
  if (name == "intel") return Vendor::kIntel;
  if (name == "amd") return Vendor::kAmd;
  return usage_error("there is no CPU vendor '{}': choose intel or amd", name);
}

Result<FeatureSet> features_of_model(std::string_view model) {
  if (const auto set = CpuidModel::model_features(model)) return *set;
  if (std::ranges::find(kModels, model) != kModels.end()) {
    const auto missing = missing_on_host(required_features(model));
    return host_error("this host's CPU cannot be a {}: it has no {}; try --cpu {}", model,
                      feature_info(missing.value_or(kFpu)).name, CpuidModel::default_model());
  }
  const std::string_view near = nearest_name(model, kModels);
  const std::string hint = near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
  return usage_error("there is no CPU model '{}': choose one of {}{}", model,
                     fmt::join(kModels, ", "), hint);
}

}  // namespace

std::span<const std::string_view> CpuidModel::model_names() { return kModels; }

std::optional<FeatureSet> CpuidModel::model_features(std::string_view model) {
  if (model == "host") return host_model_features();
  if (std::ranges::find(kModels, model) == kModels.end()) return std::nullopt;
  const FeatureSet required = required_features(model);
  if (missing_on_host(required)) return std::nullopt;
  return united(required, optional_features(model) & host_features());
}

std::string_view CpuidModel::default_model() {
  for (const std::string_view model : {"v3", "v2"})
    if (model_features(model)) return model;
  return "baseline";
}

Result<CpuidModel> CpuidModel::parse(std::string_view text, Topology topology) {
  const std::string_view model = text.substr(0, text.find(','));
  CpuidModel result;
  result.name_ = model;
  result.topology_ = topology;
  result.topology_.cpus = std::max(1u, topology.cpus);
  result.vendor_ = topology.vendor.value_or(host_vendor());
  result.features_ = TRY(features_of_model(model));
  if (result.topology_.cpus > 1) result.features_ = united(result.features_, features_of_many());
  FeatureSet explicitly;
  for (auto rest = text.substr(model.size()); !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view change = rest.substr(0, rest.find(','));
    if (change.starts_with(kVendorPrefix)) {
      result.vendor_ = TRY(parse_vendor(change.substr(kVendorPrefix.size())));
    } else {
      TRY(apply_change(change, result.features_, explicitly));
    }
    rest.remove_prefix(change.size());
  }
  TRY(drop_dependents(result.features_, explicitly));
  return result;
}

std::uint32_t CpuidModel::signature() const {
  return real_cpu_within(features_, vendor_).signature;
}

std::uint32_t CpuidModel::microcode() const {
  return real_cpu_within(features_, vendor_).microcode;
}

std::uint64_t CpuidModel::cr4_allowed() const {
  static constexpr std::pair<Feature, std::uint64_t> kBits[] = {{kVme, cr4::kVme | cr4::kPvi},
                                                                {kTsc, cr4::kTsd},
                                                                {kDe, cr4::kDe},
                                                                {kPse, cr4::kPse},
                                                                {kPae, cr4::kPae},
                                                                {kMce, cr4::kMce},
                                                                {kPge, cr4::kPge},
                                                                {kFxsr, cr4::kOsfxsr},
                                                                {kSse, cr4::kOsxmmexcpt},
                                                                {kUmip, cr4::kUmip},
                                                                {kLa57, cr4::kLa57},
                                                                {kFsgsbase, cr4::kFsgsbase},
                                                                {kPcid, cr4::kPcide},
                                                                {kXsave, cr4::kOsxsave},
                                                                {kSmep, cr4::kSmep},
                                                                {kSmap, cr4::kSmap},
                                                                {kPku, cr4::kPke}};
  std::uint64_t allowed = cr4::kPce;
  for (const auto& [feature, bits] : kBits)
    if (features_.has(feature)) allowed |= bits;
  return allowed;
}

std::uint64_t CpuidModel::efer_allowed() const {
  std::uint64_t allowed = 0;
  if (features_.has(kSyscall)) allowed |= efer::kSce;
  if (features_.has(kLm)) allowed |= efer::kLme | efer::kLma;
  if (features_.has(kNx)) allowed |= efer::kNxe;
  return allowed;
}

std::uint64_t CpuidModel::xcr0_allowed() const {
  std::uint64_t allowed = xcr0::kX87;
  if (!features_.has(kXsave)) return allowed;
  if (features_.has(kSse)) allowed |= xcr0::kSse;
  if (features_.has(kAvx)) allowed |= xcr0::kAvx;
  if (features_.has(kPku)) allowed |= xcr0::kPkru;
  return allowed;
}

std::uint32_t CpuidModel::feature_bits(std::uint32_t leaf, std::uint32_t subleaf,
                                       unsigned output) const {
  std::uint32_t bits = 0;
  for (const auto& info : feature_table())
    if (info.leaf == leaf && info.subleaf == subleaf && info.output == output &&
        features_.has(info.feature))
      bits |= 1u << info.bit;
  return bits;
}

}  // namespace vireo::x86
