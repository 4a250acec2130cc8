#include "x86/cpuid/cpuid_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "x86/cpuid/clock_ratio.h"
#include "x86/cpuid/feature_table.h"
#include "x86/cpuid/host_features.h"

namespace vireo::x86 {
namespace {

using ::testing::HasSubstr;

CpuidModel make(std::string_view text, unsigned cpus = 1, Vendor vendor = Vendor::kIntel) {
  auto model = CpuidModel::parse(text, {cpus, 2'100'000'000, vendor});
  EXPECT_TRUE(model) << (model ? "" : model.error().message);
  return std::move(model).value_or(CpuidModel{});
}

Error error_of(std::string_view text) {
  auto model = CpuidModel::parse(text, {});
  EXPECT_FALSE(model) << text;
  return model ? Error{} : model.error();
}

std::uint32_t output(const CpuidLeaf& leaf, unsigned n) {
  const std::array<std::uint32_t, 4> registers{leaf.eax, leaf.ebx, leaf.ecx, leaf.edx};
  return registers[n];
}

std::string text_of(std::initializer_list<std::uint32_t> words) {
  std::string result;
  for (const auto word : words) result.append(reinterpret_cast<const char*>(&word), 4);
  return result;
}

TEST(FeatureTable, HasOneRowPerFeatureInTheOrderOfTheEnumeration) {
  ASSERT_EQ(feature_table().size(), static_cast<std::size_t>(Feature::kCount));
  for (std::size_t i = 0; i < feature_table().size(); ++i) {
    EXPECT_EQ(feature_table()[i].feature, static_cast<Feature>(i)) << feature_table()[i].name;
    EXPECT_EQ(find_feature(feature_table()[i].name), static_cast<Feature>(i));
  }
}

TEST(FeatureTable, FindsUsualOtherNames) {
  EXPECT_EQ(find_feature("SSE4.1"), Feature::kSse41);
  EXPECT_EQ(find_feature("lzcnt"), Feature::kAbm);
  EXPECT_EQ(find_feature("tsc-deadline"), Feature::kTscDeadline);
  EXPECT_EQ(find_feature("avx512f"), std::nullopt);
}

TEST(CpuidModel, EveryFeatureBitIsShownExactlyIfTheFeatureIsThere) {
  for (const auto& victim : feature_table()) {
    const CpuidModel model = make(fmt::format("{},-{}", CpuidModel::default_model(), victim.name));
    EXPECT_FALSE(model.features().has(victim.feature));
    for (const auto& info : feature_table()) {
      // Without a hypervisor there are no leaves for its features.
      if (victim.feature == Feature::kHypervisor && info.leaf >> 8 == 0x400001) continue;
      const CpuidLeaf leaf = model.cpuid({}, 0, info.leaf, info.subleaf);
      EXPECT_EQ((output(leaf, info.output) >> info.bit) & 1, model.features().has(info.feature))
          << info.name << " without " << victim.name;
    }
  }
}

TEST(CpuidModel, NoModelHasFeatureBitsOutsideTheTable) {
  const CpuidModel model = make("host");
  for (const std::uint32_t leaf : {1u, 7u, 0x80000001u}) {
    for (unsigned n = leaf == 7 ? 1 : 2; n < 4; ++n) {
      auto bits = output(model.cpuid({}, 0, leaf, 0), n);
      if (leaf == 7 && n == 1) bits &= ~(1u << 13 | 1u << 6);  // how the x87 behaves
      EXPECT_EQ(bits & ~model.feature_bits(leaf, 0, n), 0u) << leaf << " " << n;
    }
  }
}

TEST(CpuidModel, ControlBitsBehindAMaskedFeatureAreReserved) {
  const std::pair<std::string_view, std::uint64_t> cases[] = {{"vme", cr4::kVme | cr4::kPvi},
                                                              {"tsc", cr4::kTsd},
                                                              {"de", cr4::kDe},
                                                              {"pse", cr4::kPse},
                                                              {"mce", cr4::kMce},
                                                              {"pge", cr4::kPge},
                                                              {"fxsr", cr4::kOsfxsr},
                                                              {"sse", cr4::kOsxmmexcpt},
                                                              {"umip", cr4::kUmip},
                                                              {"la57", cr4::kLa57},
                                                              {"fsgsbase", cr4::kFsgsbase},
                                                              {"pcid", cr4::kPcide},
                                                              {"xsave", cr4::kOsxsave | cr4::kPke},
                                                              {"smep", cr4::kSmep},
                                                              {"smap", cr4::kSmap},
                                                              {"pku", cr4::kPke}};
  constexpr std::string_view kAll = "baseline,+umip,+la57,+fsgsbase,+pcid,+smep,+smap";
  const std::uint64_t all = make(fmt::format("{},+xsave,+pku", kAll)).cr4_allowed();
  for (const auto& [feature, bits] : cases) {
    EXPECT_EQ(all & bits, bits) << feature;
    const std::string text = fmt::format("{},-{}", kAll, feature);
    EXPECT_EQ(make(text).cr4_allowed() & bits, 0u) << feature;
  }
  EXPECT_EQ(make("baseline").cr4_allowed() & cr4::kPae, cr4::kPae);
  EXPECT_EQ(make("baseline,-pae").cr4_allowed() & cr4::kPae, 0u);
  EXPECT_EQ(make("baseline").efer_allowed(), efer::kSce | efer::kLme | efer::kLma | efer::kNxe);
  EXPECT_EQ(make("baseline,-lm").efer_allowed(), efer::kSce | efer::kNxe);
  EXPECT_EQ(make("baseline,-nx,-syscall").efer_allowed(), efer::kLme | efer::kLma);
}

TEST(CpuidModel, ModelsBuildOnEachOther) {
  FeatureSet below;
  for (const std::string_view name : {"baseline", "v2", "v3"}) {
    const auto set = CpuidModel::model_features(name);
    if (!set) GTEST_SKIP() << "the host is no " << name;
    EXPECT_EQ(*set & below, below) << name;
    below = *set;
  }
  EXPECT_FALSE(CpuidModel::model_features("v3")->has(Feature::kMonitor));
  EXPECT_FALSE(CpuidModel::model_features("host")->has(Feature::kMonitor));
}

TEST(CpuidModel, EveryModelIsOfferedWithoutMissingDependencies) {
  for (const auto name : CpuidModel::model_names()) {
    const auto set = CpuidModel::model_features(name);
    if (!set) continue;
    EXPECT_EQ(make(name).features(), *set) << name;
    EXPECT_EQ(*set & host_features(), *set) << name;
  }
}

TEST(CpuidModel, DroppingAFeatureDropsWhatBuildsOnIt) {
  const CpuidModel model = make(fmt::format("{},-sse2", CpuidModel::default_model()));
  for (const auto feature : {Feature::kSse3, Feature::kSse42, Feature::kAvx, Feature::kAvx2,
                             Feature::kFma, Feature::kAes})
    EXPECT_FALSE(model.features().has(feature));
  EXPECT_TRUE(model.features().has(Feature::kSse));
}

TEST(CpuidModel, AnExplicitFeatureWithoutItsBasisIsAnError) {
  const Error error = error_of("baseline,+pku");
  EXPECT_EQ(error.blame, Blame::kUsage);
  EXPECT_THAT(error.message, HasSubstr("pku needs xsave: add +xsave"));
  EXPECT_THAT(error_of("baseline,+xsavec,-xsave").message, HasSubstr("xsavec needs xsave"));
}

TEST(CpuidModel, UnknownNamesGetASuggestion) {
  EXPECT_THAT(error_of("basline").message, HasSubstr("did you mean 'baseline'"));
  EXPECT_THAT(error_of("z80").message, HasSubstr("baseline, v2, v3, host"));
  EXPECT_THAT(error_of("").message, HasSubstr("no CPU model"));
  EXPECT_THAT(error_of("v2,+sse42x").message, HasSubstr("did you mean 'sse42'"));
  EXPECT_THAT(error_of("v2,+quantum").message, ::testing::Not(HasSubstr("did you mean")));
  EXPECT_THAT(error_of("v2,umip").message, HasSubstr("needs a + or -"));
  EXPECT_THAT(error_of("v2,").message, HasSubstr("needs a + or -"));
  for (const auto text : {"v2,+avx512f", "v2,+vmx", "v2,+svm", "v2,+rtm", "v2,+amx_tile"})
    EXPECT_EQ(error_of(text).blame, Blame::kUsage) << text;
}

TEST(CpuidModel, AFeatureThatTheHostLacksIsAHostError) {
  const FeatureSet host = host_features();
  for (const auto& info : feature_table()) {
    if (host.has(info.feature)) continue;
    const Error error = error_of(fmt::format("baseline,+{}", info.name));
    EXPECT_EQ(error.blame, Blame::kHost);
    EXPECT_THAT(error.message, HasSubstr(std::string(info.name)));
  }
}

TEST(CpuidModel, SystemFeaturesNeedNoHost) {
  for (const auto feature : {Feature::kPcid, Feature::kSmap, Feature::kLa57, Feature::kPku,
                             Feature::kX2apic, Feature::kInvpcid, Feature::kMovbe})
    EXPECT_TRUE(host_features().has(feature));
}

TEST(Cpuid, TheVendorIsTheOneAskedFor) {
  const CpuidLeaf intel = make("baseline").cpuid({}, 0, 0, 0);
  EXPECT_EQ(text_of({intel.ebx, intel.edx, intel.ecx}), "GenuineIntel");
  const CpuidLeaf amd = make("baseline", 1, Vendor::kAmd).cpuid({}, 0, 0x80000000, 0);
  EXPECT_EQ(text_of({amd.ebx, amd.edx, amd.ecx}), "AuthenticAMD");
}

TEST(Cpuid, LeavesBeyondTheLastBehaveAsTheVendorsDo) {
  const CpuidModel intel = make("baseline"), amd = make("baseline", 1, Vendor::kAmd);
  const std::uint32_t last = intel.cpuid({}, 0, 0, 0).eax;
  const CpuidLeaf highest = intel.cpuid({}, 0, last, 0);
  ASSERT_NE(highest, CpuidLeaf{});
  for (const std::uint32_t leaf : {last + 1, 0x3fffffffu, 0x40000011u, 0x80000009u, ~0u}) {
    EXPECT_EQ(intel.cpuid({}, 0, leaf, 0), highest) << leaf;
    if (leaf != 0x80000009) EXPECT_EQ(amd.cpuid({}, 0, leaf, 0), CpuidLeaf{}) << leaf;
  }
}

TEST(Cpuid, LeafOneFollowsCr4AndTheApicId) {
  const CpuidModel model = make("baseline,+xsave", 3);
  CpuState state;
  EXPECT_EQ(model.cpuid(state, 2, 1, 0).ebx >> 24, 2u);
  EXPECT_EQ((model.cpuid(state, 2, 1, 0).ebx >> 16) & 0xff, 4u);  // ids, not CPUs
  EXPECT_EQ((model.cpuid(state, 2, 1, 0).edx >> 28) & 1, 1u);
  EXPECT_EQ((model.cpuid(state, 0, 1, 0).ecx >> 27) & 1, 0u);
  state.cr4 = cr4::kOsxsave;
  EXPECT_EQ((model.cpuid(state, 0, 1, 0).ecx >> 27) & 1, 1u);
  EXPECT_EQ(model.cpuid(state, 0, 1, 0).eax, model.signature());
  EXPECT_EQ((make("baseline").cpuid(state, 0, 1, 0).edx >> 28) & 1, 0u);
}

TEST(Cpuid, OspkeFollowsCr4) {
  const CpuidModel model = make("baseline,+xsave,+pku");
  CpuState state;
  EXPECT_EQ(model.cpuid(state, 0, 7, 0).ecx & (3u << 3), 1u << 3);
  state.cr4 = cr4::kPke;
  EXPECT_EQ(model.cpuid(state, 0, 7, 0).ecx & (3u << 3), 3u << 3);
  EXPECT_EQ(model.cpuid(state, 0, 7, 1), CpuidLeaf{});
}

TEST(Cpuid, LeafSevenTellsWhatTheX87KeepsOfItsLastInstruction) {
  const std::uint32_t expected = (host_deprecates_fpu_selectors() ? 1u << 13 : 0u) |
                                 (host_notes_fpu_operand_at_exceptions_only() ? 1u << 6 : 0u);
  for (const char* model : {"baseline", "host"})
    EXPECT_EQ(make(model).cpuid(CpuState{}, 0, 7, 0).ebx & (1u << 13 | 1u << 6), expected) << model;
}

TEST(Cpuid, XsaveSizesFollowXcr0) {
  const CpuidModel model = make("baseline,+xsave,+xsavec,+pku");
  CpuState state;
  EXPECT_EQ(model.cpuid(state, 0, 0xd, 0), (CpuidLeaf{0x203, 576, 0xa88, 0}));
  EXPECT_EQ(model.cpuid(state, 0, 0xd, 1), (CpuidLeaf{2, 576, 0, 0}));
  state.xcr0 = 0x203;
  EXPECT_EQ(model.cpuid(state, 0, 0xd, 0).ebx, 0xa88u);
  EXPECT_EQ(model.cpuid(state, 0, 0xd, 1).ebx, 584u);
  EXPECT_EQ(model.cpuid(state, 0, 0xd, 9), (CpuidLeaf{8, 0xa80, 0, 0}));
  EXPECT_EQ(model.cpuid(state, 0, 0xd, 2), CpuidLeaf{});
  EXPECT_EQ(make("baseline").cpuid(state, 0, 0xd, 0), CpuidLeaf{});
}

TEST(Cpuid, AvxStateIsEnumeratedWithAvx) {
  if (!host_features().has(Feature::kAvx)) GTEST_SKIP() << "the host has no AVX";
  const CpuidModel model = make("v2,+xsave,+avx");
  EXPECT_EQ(model.cpuid({}, 0, 0xd, 2), (CpuidLeaf{256, 576, 0, 0}));
  EXPECT_EQ(model.cpuid({}, 0, 0xd, 0), (CpuidLeaf{7, 576, 832, 0}));
}

TEST(CpuidModel, TheVendorCanBeChosen) {
  EXPECT_EQ(make("baseline,vendor=amd").vendor(), Vendor::kAmd);
  EXPECT_EQ(make("baseline,vendor=intel,+smep", 1, Vendor::kAmd).vendor(), Vendor::kIntel);
  EXPECT_TRUE(make("baseline,vendor=amd,+smep").features().has(Feature::kSmep));
  for (const char* text : {"baseline,vendor=", "baseline,vendor=via", "baseline,vendor"}) {
    const auto model = CpuidModel::parse(text, {});
    ASSERT_FALSE(model) << text;
    EXPECT_EQ(model.error().blame, Blame::kUsage) << text;
  }
}

TEST(Cpuid, AmdsTellWhatTheyDoNotLeak) {
  const CpuidModel model = make("baseline", 1, Vendor::kAmd);
  EXPECT_EQ(model.cpuid({}, 0, 0x80000021, 0), (CpuidLeaf{1u << 2 | 1u << 29, 0, 6, 0}));
}

TEST(Cpuid, TheTopologyIsOnePackageOfCores) {
  const CpuidModel model = make("baseline", 6);
  EXPECT_EQ(model.cpuid({}, 5, 0xb, 0), (CpuidLeaf{0, 1, 0x100, 5}));
  EXPECT_EQ(model.cpuid({}, 5, 0xb, 1), (CpuidLeaf{3, 6, 0x201, 5}));
  EXPECT_EQ(model.cpuid({}, 5, 0xb, 2), (CpuidLeaf{0, 0, 2, 5}));
  EXPECT_EQ(model.cpuid({}, 0, 4, 0).eax, 0x1c000121u);
  EXPECT_EQ(model.cpuid({}, 0, 4, 3).eax, 0x1c01c163u);
  EXPECT_EQ(model.cpuid({}, 0, 4, 4), CpuidLeaf{});
  EXPECT_EQ(make("baseline").cpuid({}, 0, 4, 0).eax, 0x121u);
  EXPECT_EQ(make("baseline", 6, Vendor::kAmd).cpuid({}, 0, 0x80000008, 0).ecx, 0x3005u);
}

TEST(Cpuid, TheHypervisorNamesItselfAndItsClocks) {
  const CpuidModel model = make("baseline");
  const CpuidLeaf leaf = model.cpuid({}, 0, 0x40000000, 0);
  EXPECT_EQ(text_of({leaf.ebx, leaf.ecx, leaf.edx}), "VireoVireo  ");
  EXPECT_EQ(leaf.eax, 0x40000010u);
  EXPECT_EQ(model.cpuid({}, 0, 0x40000010, 0).eax, 2'100'000u);
  EXPECT_EQ(model.cpuid({}, 0, 0x40000001, 0), CpuidLeaf{});
  EXPECT_EQ(make("baseline,-hypervisor").cpuid({}, 0, 0x40000000, 0),
            make("baseline").cpuid({}, 0, 0x16, 0));
}

TEST(Cpuid, SeveralCpusFindWhatKvmOffersThem) {
  const CpuidModel one = make("baseline");
  EXPECT_EQ(one.cpuid({}, 0, 0x40000100, 0), CpuidLeaf{});
  EXPECT_EQ(one.cpuid({}, 0, 0x40000101, 0), CpuidLeaf{});
  const CpuidModel four = make("baseline", 4);
  const CpuidLeaf leaf = four.cpuid({}, 0, 0x40000100, 0);
  EXPECT_EQ(text_of({leaf.ebx, leaf.ecx, leaf.edx}), std::string("KVMKVMKVM\0\0\0", 12));
  EXPECT_EQ(leaf.eax, 0x40000101u);
  EXPECT_EQ(four.cpuid({}, 0, 0x40000101, 0), (CpuidLeaf{0x2aa0, 0, 0, 0}));
  EXPECT_EQ(four.cpuid({}, 0, 0x40000102, 0), four.cpuid({}, 0, 0x16, 0));
  EXPECT_EQ(make("baseline,-kvm-steal-time", 4).cpuid({}, 0, 0x40000101, 0).eax, 0x880u);
  EXPECT_EQ(make("baseline,-hypervisor", 4).feature_bits(0x40000101, 0, 0), 0u);
}

TEST(Cpuid, TheClocksFlagsCountWithTheClock) {
  EXPECT_EQ(make("baseline,+kvmclock").cpuid({}, 0, 0x40000101, 0).eax, 1u << 3 | 1u << 24);
}

TEST(Cpuid, BrandAndAddressSizesAreReadable) {
  const CpuidModel model = make("baseline");
  std::string brand;
  for (std::uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    const CpuidLeaf part = model.cpuid({}, 0, leaf, 0);
    brand += text_of({part.eax, part.ebx, part.ecx, part.edx});
  }
  EXPECT_STREQ(brand.c_str(), "Vireo virtual CPU baseline");
  EXPECT_EQ(model.cpuid({}, 0, 0x80000008, 0).eax, 40u | 48u << 8);
  EXPECT_EQ(make("baseline,+la57").cpuid({}, 0, 0x80000008, 0).eax, 40u | 57u << 8);
}

TEST(TscRatio, IsExactWhereItCanBeAndNeverOverflowsInTheGuest) {
  EXPECT_EQ(tsc_ratio(2'100'000'000).numerator, 21u);
  EXPECT_EQ(tsc_ratio(2'100'000'000).denominator, 10u);
  EXPECT_EQ(tsc_ratio(0).numerator, 0u);
  for (const std::uint64_t hz :
       {1'000'000ull, 999'999'937ull, 2'099'999'141ull, 3'792'874'519ull}) {
    const auto [numerator, denominator] = tsc_ratio(hz);
    ASSERT_NE(denominator, 0u) << hz;
    EXPECT_LE(std::uint64_t{numerator} * (kCrystalHz / 1000), 0xffff'ffffu) << hz;
    const double result = double{kCrystalHz} * numerator / denominator;
    EXPECT_NEAR(result, static_cast<double>(hz), static_cast<double>(hz) * 1e-6) << hz;
  }
}

}  // namespace
}  // namespace vireo::x86
