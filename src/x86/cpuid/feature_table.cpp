#include "x86/cpuid/feature_table.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>

#include "base/assert.h"

namespace vireo::x86 {
namespace {

enum Output : std::uint8_t { kEax, kEbx, kEcx, kEdx };
using enum Feature;

// SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E; Documentation/virt/kvm/x86/cpuid.rst.
// clang-format off
const std::vector<FeatureInfo> kTable = {
    {kFpu, "fpu", 1, 0, kEdx, 0},
    {kVme, "vme", 1, 0, kEdx, 1},
    {kDe, "de", 1, 0, kEdx, 2},
    {kPse, "pse", 1, 0, kEdx, 3},
    {kTsc, "tsc", 1, 0, kEdx, 4},
    {kMsr, "msr", 1, 0, kEdx, 5},
    {kPae, "pae", 1, 0, kEdx, 6},
    {kMce, "mce", 1, 0, kEdx, 7},
    {kCx8, "cx8", 1, 0, kEdx, 8},
    {kApic, "apic", 1, 0, kEdx, 9},
    {kSep, "sep", 1, 0, kEdx, 11},
    {kMtrr, "mtrr", 1, 0, kEdx, 12},
    {kPge, "pge", 1, 0, kEdx, 13},
    {kMca, "mca", 1, 0, kEdx, 14},
    {kCmov, "cmov", 1, 0, kEdx, 15},
    {kPat, "pat", 1, 0, kEdx, 16},
    {kPse36, "pse36", 1, 0, kEdx, 17},
    {kClflush, "clflush", 1, 0, kEdx, 19},
    {kMmx, "mmx", 1, 0, kEdx, 23},
    {kFxsr, "fxsr", 1, 0, kEdx, 24},
    {kSse, "sse", 1, 0, kEdx, 25},
    {kSse2, "sse2", 1, 0, kEdx, 26},
    {kSse3, "pni", 1, 0, kEcx, 0},
    {kPclmulqdq, "pclmulqdq", 1, 0, kEcx, 1},
    {kMonitor, "monitor", 1, 0, kEcx, 3},
    {kSsse3, "ssse3", 1, 0, kEcx, 9},
    {kFma, "fma", 1, 0, kEcx, 12},
    {kCx16, "cx16", 1, 0, kEcx, 13},
    {kPcid, "pcid", 1, 0, kEcx, 17},
    {kSse41, "sse4_1", 1, 0, kEcx, 19},
    {kSse42, "sse4_2", 1, 0, kEcx, 20},
    {kX2apic, "x2apic", 1, 0, kEcx, 21},
    {kMovbe, "movbe", 1, 0, kEcx, 22},
    {kPopcnt, "popcnt", 1, 0, kEcx, 23},
    {kTscDeadline, "tsc_deadline_timer", 1, 0, kEcx, 24},
    {kAes, "aes", 1, 0, kEcx, 25},
    {kXsave, "xsave", 1, 0, kEcx, 26},
    {kAvx, "avx", 1, 0, kEcx, 28},
    {kF16c, "f16c", 1, 0, kEcx, 29},
    {kRdrand, "rdrand", 1, 0, kEcx, 30},
    {kHypervisor, "hypervisor", 1, 0, kEcx, 31},
    {kFsgsbase, "fsgsbase", 7, 0, kEbx, 0},
    {kTscAdjust, "tsc_adjust", 7, 0, kEbx, 1},
    {kBmi1, "bmi1", 7, 0, kEbx, 3},
    {kAvx2, "avx2", 7, 0, kEbx, 5},
    {kSmep, "smep", 7, 0, kEbx, 7},
    {kBmi2, "bmi2", 7, 0, kEbx, 8},
    {kErms, "erms", 7, 0, kEbx, 9},
    {kInvpcid, "invpcid", 7, 0, kEbx, 10},
    {kRdseed, "rdseed", 7, 0, kEbx, 18},
    {kAdx, "adx", 7, 0, kEbx, 19},
    {kSmap, "smap", 7, 0, kEbx, 20},
    {kClflushopt, "clflushopt", 7, 0, kEbx, 23},
    {kClwb, "clwb", 7, 0, kEbx, 24},
    {kSha, "sha_ni", 7, 0, kEbx, 29},
    {kUmip, "umip", 7, 0, kEcx, 2},
    {kPku, "pku", 7, 0, kEcx, 3},
    {kLa57, "la57", 7, 0, kEcx, 16},
    {kRdpid, "rdpid", 7, 0, kEcx, 22},
    {kFsrm, "fsrm", 7, 0, kEdx, 4},
    {kSpecCtrl, "spec_ctrl", 7, 0, kEdx, 26},
    {kStibp, "stibp", 7, 0, kEdx, 27},
    {kArchCapabilities, "arch_capabilities", 7, 0, kEdx, 29},
    {kBhiCtrl, "bhi_ctrl", 7, 2, kEdx, 4},
    {kXsaveopt, "xsaveopt", 0xd, 1, kEax, 0},
    {kXsavec, "xsavec", 0xd, 1, kEax, 1},
    {kXgetbv1, "xgetbv1", 0xd, 1, kEax, 2},
    {kXsaves, "xsaves", 0xd, 1, kEax, 3},
    {kArat, "arat", 6, 0, kEax, 2},
    {kLahf, "lahf_lm", 0x80000001, 0, kEcx, 0},
    {kAbm, "abm", 0x80000001, 0, kEcx, 5},
    {k3dnowPrefetch, "3dnowprefetch", 0x80000001, 0, kEcx, 8},
    {kSyscall, "syscall", 0x80000001, 0, kEdx, 11},
    {kNx, "nx", 0x80000001, 0, kEdx, 20},
    {kPdpe1gb, "pdpe1gb", 0x80000001, 0, kEdx, 26},
    {kRdtscp, "rdtscp", 0x80000001, 0, kEdx, 27},
    {kLm, "lm", 0x80000001, 0, kEdx, 29},
    {kInvariantTsc, "nonstop_tsc", 0x80000007, 0, kEdx, 8},
    {kKvmClock, "kvmclock", 0x40000101, 0, kEax, 3},
    {kKvmStealTime, "kvm_steal_time", 0x40000101, 0, kEax, 5},
    {kKvmPvUnhalt, "kvm_pv_unhalt", 0x40000101, 0, kEax, 7},
    {kKvmPvTlbFlush, "kvm_pv_tlb_flush", 0x40000101, 0, kEax, 9},
    {kKvmPvIpi, "kvm_pv_ipi", 0x40000101, 0, kEax, 11},
    {kKvmPvSchedYield, "kvm_pv_sched_yield", 0x40000101, 0, kEax, 13},
};

constexpr FeatureDependency kDependencies[] = {
    {kMmx, kFpu}, {kFxsr, kFpu}, {kSse, kFxsr}, {kSse2, kSse}, {kSse3, kSse2}, {kSsse3, kSse3},
    {kSse41, kSsse3}, {kSse42, kSse41}, {kAes, kSse2}, {kPclmulqdq, kSse2}, {kSha, kSsse3},
    {kXsave, kFxsr}, {kAvx, kXsave}, {kAvx, kSse42}, {kAvx2, kAvx}, {kFma, kAvx}, {kF16c, kAvx},
    {kXsaveopt, kXsave}, {kXsavec, kXsave}, {kXgetbv1, kXsave}, {kXsaves, kXsavec},
    {kPku, kXsave}, {kPku, kLm}, {kMca, kMce}, {kCx16, kCx8}, {kPse36, kPse},
    {kApic, kMsr}, {kX2apic, kApic}, {kTscDeadline, kApic}, {kTscDeadline, kTsc}, {kArat, kApic},
    {kMtrr, kMsr}, {kPat, kMsr}, {kSep, kMsr}, {kSyscall, kMsr}, {kNx, kMsr}, {kNx, kPae},
    {kLm, kMsr}, {kLm, kPae}, {kLm, kCx8}, {kLm, kCmov}, {kPdpe1gb, kLm}, {kPcid, kLm},
    {kLa57, kLm}, {kFsgsbase, kLm}, {kLahf, kLm}, {kTscAdjust, kTsc}, {kTscAdjust, kMsr},
    {kInvariantTsc, kTsc}, {kRdtscp, kTsc}, {kRdtscp, kMsr}, {kRdpid, kMsr}, {kSpecCtrl, kMsr},
    {kStibp, kSpecCtrl}, {kArchCapabilities, kMsr}, {kBhiCtrl, kSpecCtrl},
    {kKvmClock, kHypervisor}, {kKvmClock, kTsc}, {kKvmClock, kMsr},
    {kKvmStealTime, kHypervisor}, {kKvmStealTime, kMsr}, {kKvmPvUnhalt, kHypervisor},
    {kKvmPvTlbFlush, kKvmStealTime}, {kKvmPvSchedYield, kKvmStealTime},
    {kKvmPvIpi, kHypervisor}, {kKvmPvIpi, kApic},
};

constexpr struct {
  std::string_view name;
  Feature feature;
} kAliases[] = {
    {"sse3", kSse3}, {"sse41", kSse41}, {"sse42", kSse42}, {"pclmul", kPclmulqdq},
    {"clfsh", kClflush}, {"lzcnt", kAbm}, {"sha", kSha}, {"invtsc", kInvariantTsc},
    {"invariant_tsc", kInvariantTsc}, {"tsc_deadline", kTscDeadline}, {"lahf", kLahf},
    {"lahf_sahf", kLahf}, {"prefetchw", k3dnowPrefetch}, {"cmpxchg16b", kCx16},
    {"cmpxchg8b", kCx8}, {"x86_64", kLm}, {"xd", kNx}, {"ibrs", kSpecCtrl}, {"ibpb", kSpecCtrl},
};
// clang-format on

std::string normalized(std::string_view name) {
  std::string result;
  for (const char c : name)
    result +=
        c == '-' || c == '.' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

/// How many insertions, deletions and replacements turn one word into the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

}  // namespace

const std::vector<FeatureInfo>& feature_table() { return kTable; }

std::span<const FeatureDependency> feature_dependencies() { return kDependencies; }

const FeatureInfo& feature_info(Feature feature) {
  const auto index = static_cast<std::size_t>(feature);
  VIREO_ASSERT(index < kTable.size() && kTable[index].feature == feature);
  return kTable[index];
}

std::optional<Feature> find_feature(std::string_view name) {
  const std::string wanted = normalized(name);
  for (const auto& info : kTable)
    if (wanted == info.name) return info.feature;
  for (const auto& alias : kAliases)
    if (wanted == alias.name) return alias.feature;
  return std::nullopt;
}

std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates) {
  constexpr std::size_t kLongestName = 40;
  if (name.empty() || name.size() > kLongestName) return {};
  const std::string wanted = normalized(name);
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, wanted.size() / 3);  // the first too far
  if (wanted.size() > 3) ++best_distance;
  for (const auto candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, candidate);
    if (distance < best_distance) best = candidate, best_distance = distance;
  }
  return best;
}

std::string_view nearest_feature_name(std::string_view name) {
  std::vector<std::string_view> names;
  for (const auto& info : kTable) names.push_back(info.name);
  for (const auto& alias : kAliases) names.push_back(alias.name);
  return nearest_name(name, names);
}

}  // namespace vireo::x86
