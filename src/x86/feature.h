#pragma once
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vireo::x86 {

/// Every CPUID feature that Vireo knows how to offer. A feature that a CPU model masks is not only
/// hidden: executing its instructions is #UD and the control bits behind it are reserved.
enum class Feature : std::uint8_t {
  // leaf 1 EDX
  kFpu,
  kVme,
  kDe,
  kPse,
  kTsc,
  kMsr,
  kPae,
  kMce,
  kCx8,
  kApic,
  kSep,
  kMtrr,
  kPge,
  kMca,
  kCmov,
  kPat,
  kPse36,
  kClflush,
  kMmx,
  kFxsr,
  kSse,
  kSse2,
  // leaf 1 ECX
  kSse3,
  kPclmulqdq,
  kMonitor,
  kSsse3,
  kFma,
  kCx16,
  kPcid,
  kSse41,
  kSse42,
  kX2apic,
  kMovbe,
  kPopcnt,
  kTscDeadline,
  kAes,
  kXsave,
  kAvx,
  kF16c,
  kRdrand,
  kHypervisor,
  // leaf 7
  kFsgsbase,
  kTscAdjust,
  kBmi1,
  kAvx2,
  kSmep,
  kBmi2,
  kErms,
  kInvpcid,
  kRdseed,
  kAdx,
  kSmap,
  kClflushopt,
  kClwb,
  kSha,
  kUmip,
  kPku,
  kLa57,
  kRdpid,
  kFsrm,
  kSpecCtrl,
  kStibp,
  kArchCapabilities,
  kBhiCtrl,
  // leaf 0xd
  kXsaveopt,
  kXsavec,
  kXgetbv1,
  kXsaves,
  // leaf 6
  kArat,
  // leaf 0x80000001
  kLahf,
  kAbm,
  k3dnowPrefetch,
  kSyscall,
  kNx,
  kPdpe1gb,
  kRdtscp,
  kLm,
  // leaf 0x80000007
  kInvariantTsc,
  // leaf 0x40000101, what guests know from KVM; hypercalls answer even if they are not announced
  kKvmClock,
  kKvmStealTime,
  kKvmPvUnhalt,
  kKvmPvTlbFlush,
  kKvmPvIpi,
  kKvmPvSchedYield,
  kCount,
};

class FeatureSet {
 public:
  bool has(Feature feature) const { return bits_[static_cast<std::size_t>(feature)]; }
  void set(Feature feature, bool present = true) {
    bits_[static_cast<std::size_t>(feature)] = present;
  }
  bool operator==(const FeatureSet&) const = default;
  friend FeatureSet operator&(FeatureSet a, const FeatureSet& b) {
    a.bits_ &= b.bits_;
    return a;
  }

 private:
  std::bitset<static_cast<std::size_t>(Feature::kCount)> bits_;
};

}  // namespace vireo::x86
