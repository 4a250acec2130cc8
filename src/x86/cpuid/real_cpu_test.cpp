#include "x86/cpuid/real_cpu.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <set>

#include "x86/cpuid/feature_table.h"

namespace vireo::x86 {
namespace {

// Under what name compilers say that they may use a feature.
const std::map<std::string_view, Feature> kMacros = {
    {"__SSE3__", Feature::kSse3},
    {"__SSSE3__", Feature::kSsse3},
    {"__SSE4_1__", Feature::kSse41},
    {"__SSE4_2__", Feature::kSse42},
    {"__POPCNT__", Feature::kPopcnt},
    {"__GCC_HAVE_SYNC_COMPARE_AND_SWAP_16", Feature::kCx16},
    {"__LAHF_SAHF__", Feature::kLahf},
    {"__AES__", Feature::kAes},
    {"__PCLMUL__", Feature::kPclmulqdq},
    {"__XSAVE__", Feature::kXsave},
    {"__XSAVEOPT__", Feature::kXsaveopt},
    {"__XSAVEC__", Feature::kXsavec},
    {"__XSAVES__", Feature::kXsaves},
    {"__AVX__", Feature::kAvx},
    {"__AVX2__", Feature::kAvx2},
    {"__FMA__", Feature::kFma},
    {"__F16C__", Feature::kF16c},
    {"__BMI__", Feature::kBmi1},
    {"__BMI2__", Feature::kBmi2},
    {"__LZCNT__", Feature::kAbm},
    {"__MOVBE__", Feature::kMovbe},
    {"__FSGSBASE__", Feature::kFsgsbase},
    {"__INVPCID__", Feature::kInvpcid},
    {"__RDRND__", Feature::kRdrand},
    {"__RDSEED__", Feature::kRdseed},
    {"__RDPID__", Feature::kRdpid},
    {"__ADX__", Feature::kAdx},
    {"__SHA__", Feature::kSha},
    {"__CLFLUSHOPT__", Feature::kClflushopt},
    {"__PRFCHW__", Feature::k3dnowPrefetch},
};

// No model has these. Compilers use them where a program names them, and who does looks for them.
const std::set<std::string_view> kUsedByNameOnly = {
    "__3dNOW__", "__3dNOW_A__", "__SSE4A__",      "__CLZERO__", "__MWAITX__",
    "__VAES__",  "__CLWB__",    "__VPCLMULQDQ__", "__PKU__",    "__WBNOINVD__",
};

/// The macros that the compiler defines for a CPU and not for every one with 64 bits.
std::set<std::string> macros_for(std::string_view cpu) {
  std::set<std::string> result;
  const std::string command =
      fmt::format("'{}' -march={} -dM -E -x c /dev/null", VIREO_TEST_COMPILER, cpu);
  FILE* lines = ::popen(command.c_str(), "r");
  if (lines == nullptr) return result;
  std::array<char, 512> line{}, name{};
  while (std::fgets(line.data(), line.size(), lines) != nullptr)
    if (std::sscanf(line.data(), "#define %511s 1\n", name.data()) == 1) result.insert(name.data());
  ::pclose(lines);
  return result;
}

/// Those that name features, and not the CPU itself.
std::set<std::string> feature_macros(const RealCpu& cpu) {
  const std::set<std::string> everywhere = macros_for("x86-64");
  std::set<std::string> result;
  for (const std::string& macro : macros_for(cpu.name))
    if (!everywhere.contains(macro) && macro.find(cpu.name) == std::string::npos &&
        macro.find("corei7") == std::string::npos)
      result.insert(macro);
  return result;
}

TEST(RealCpu, HasInItsListWhatCompilersMayUseForIt) {
  for (const RealCpu& cpu : real_cpus()) {
    if (cpu.name.empty()) continue;
    const auto macros = feature_macros(cpu);
    EXPECT_FALSE(macros.empty()) << cpu.name;
    for (const std::string& macro : macros) {
      if (kUsedByNameOnly.contains(macro) || macro == "__CRC32__") continue;  // of SSE4.2
      const auto feature = kMacros.find(macro);
      if (feature == kMacros.end())
        ADD_FAILURE() << cpu.name << " has " << macro;
      else
        EXPECT_TRUE(cpu.features.has(feature->second)) << cpu.name << " " << macro;
    }
  }
}

TEST(RealCpu, ModelsHaveAllOfTheCpuTheyAreCalledBy) {
  for (const std::string_view model : CpuidModel::model_names()) {
    const auto features = CpuidModel::model_features(model);
    if (!features) continue;
    for (const Vendor vendor : {Vendor::kIntel, Vendor::kAmd}) {
      const RealCpu& cpu = real_cpu_within(*features, vendor);
      EXPECT_EQ(cpu.vendor, vendor) << model;
      EXPECT_EQ(cpu.features & *features, cpu.features) << model;
    }
  }
}

TEST(RealCpu, IsTheNewestThatFits) {
  for (const RealCpu& cpu : real_cpus()) {
    EXPECT_EQ(real_cpu_within(cpu.features, cpu.vendor).signature, cpu.signature);
    for (const auto& info : feature_table()) {
      if (!cpu.features.has(info.feature)) continue;
      FeatureSet less = cpu.features;
      less.set(info.feature, false);
      EXPECT_NE(real_cpu_within(less, cpu.vendor).signature, cpu.signature) << info.name;
    }
  }
}

TEST(RealCpu, IsWhatAModelShowsInCpuid) {
  const auto intel = CpuidModel::parse("baseline,vendor=intel", {});
  const auto amd = CpuidModel::parse("baseline,vendor=amd", {});
  ASSERT_TRUE(intel && amd);
  EXPECT_EQ(intel->cpuid({}, 0, 1, 0).eax, 0x000006d8u);
  EXPECT_EQ(amd->cpuid({}, 0, 1, 0).eax, 0x00010ff0u);
  EXPECT_EQ(amd->cpuid({}, 0, 0x80000001, 0).eax, 0x00010ff0u);
  if (!CpuidModel::model_features("v2")) GTEST_SKIP() << "the host is no v2";
  EXPECT_EQ(CpuidModel::parse("v2,vendor=intel", {})->signature(), 0x000106a5u);
  EXPECT_EQ(CpuidModel::parse("v2,vendor=intel,-popcnt", {})->signature(), 0x000006d8u);
}

TEST(RealCpu, ModernLevelsAreModernCpusWhereTheHostHasWhatTheyHave) {
  const auto features = CpuidModel::model_features("v3");
  if (!features) GTEST_SKIP() << "the host is no v3";
  for (const Feature optional : {Feature::kRdrand, Feature::kPclmulqdq, Feature::kAes,
                                 Feature::kRdseed, Feature::kAdx, Feature::kSha})
    if (!features->has(optional)) GTEST_SKIP() << feature_info(optional).name << " is missing";
  EXPECT_EQ(real_cpu_within(*features, Vendor::kIntel).name, "haswell");
  EXPECT_EQ(real_cpu_within(*features, Vendor::kAmd).name, "znver3");
}

}  // namespace
}  // namespace vireo::x86
