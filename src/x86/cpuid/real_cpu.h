#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {

/// A processor that was sold. Programs that know it by family and model use its instructions
/// without a look at the features, so that a model may bear its name only if it has them.
struct RealCpu {
  std::string_view name;  ///< as compilers call it after -march=; empty if they do not know it
  Vendor vendor;
  std::uint32_t signature;  ///< family, model and stepping, as CPUID leaf 1 has them in EAX
  std::uint32_t microcode;  ///< a revision that mends what kernels ask it for
  FeatureSet features;      ///< what compilers may use for it that a model can mask
};
/// Of each vendor the newest first; the last has nothing that a 64-bit CPU can lack.
std::span<const RealCpu> real_cpus();

/// The newest of a vendor that has no more than these features.
const RealCpu& real_cpu_within(const FeatureSet& features, Vendor vendor);

}  // namespace vireo::x86
