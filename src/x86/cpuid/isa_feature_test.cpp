#include "x86/cpuid/isa_feature.h"

#include <gtest/gtest.h>

#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {
namespace {

using Kind = IsaRule::Kind;

TEST(IsaRule, ExtensionsThatAreNeverOfferedDoNotExist) {
  for (const auto set :
       {ZYDIS_ISA_SET_AVX512F_512, ZYDIS_ISA_SET_AVX512BW_KOP, ZYDIS_ISA_SET_AMX_TILE,
        ZYDIS_ISA_SET_VTX, ZYDIS_ISA_SET_SVM, ZYDIS_ISA_SET_RTM, ZYDIS_ISA_SET_AMD3DNOW,
        ZYDIS_ISA_SET_XOP, ZYDIS_ISA_SET_FMA4, ZYDIS_ISA_SET_SGX, ZYDIS_ISA_SET_WAITPKG,
        ZYDIS_ISA_SET_VAES, ZYDIS_ISA_SET_CET, ZYDIS_ISA_SET_INVALID})
    EXPECT_EQ(isa_rule(set).kind, Kind::kNever) << ZydisISASetGetString(set);
}

TEST(IsaRule, PlainInstructionsAlwaysExist) {
  for (const auto set : {ZYDIS_ISA_SET_I86, ZYDIS_ISA_SET_I486REAL, ZYDIS_ISA_SET_PPRO,
                         ZYDIS_ISA_SET_LONGMODE, ZYDIS_ISA_SET_PAUSE, ZYDIS_ISA_SET_FAT_NOP})
    EXPECT_TRUE(isa_rule(set).exists({}, true)) << ZydisISASetGetString(set);
}

TEST(IsaRule, HintsThatNoModelHasAreNops) {
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_MPX).kind, Kind::kNop);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_CET, ZYDIS_MNEMONIC_ENDBR64).kind, Kind::kNop);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_CET, ZYDIS_MNEMONIC_RDSSPQ).kind, Kind::kNop);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_CET, ZYDIS_MNEMONIC_INCSSPQ).kind, Kind::kNever);
}

TEST(IsaRule, TzcntAndLzcntFallBackToTheirOldMeaning) {
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_BMI1, ZYDIS_MNEMONIC_TZCNT).kind, Kind::kLegacy);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_BMI1, ZYDIS_MNEMONIC_ANDN).kind, Kind::kFeature);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_LZCNT, ZYDIS_MNEMONIC_LZCNT).kind, Kind::kLegacy);
}

TEST(IsaRule, AFeatureMustBeInTheSet) {
  FeatureSet features;
  const IsaRule avx2 = isa_rule(ZYDIS_ISA_SET_AVX2);
  EXPECT_FALSE(avx2.exists(features, true));
  features.set(Feature::kAvx2);
  EXPECT_TRUE(avx2.exists(features, true));
}

TEST(IsaRule, SomeInstructionsNeedTwoFeatures) {
  FeatureSet features;
  features.set(Feature::kAes);
  const IsaRule rule = isa_rule(ZYDIS_ISA_SET_AVXAES, ZYDIS_MNEMONIC_VAESENC);
  EXPECT_FALSE(rule.exists(features, true));
  features.set(Feature::kAvx);
  EXPECT_TRUE(rule.exists(features, true));
  EXPECT_FALSE(isa_rule(ZYDIS_ISA_SET_AVX, ZYDIS_MNEMONIC_VPCLMULQDQ).exists(features, true));
}

TEST(IsaRule, LahfIsOptionalOnlyIn64BitMode) {
  EXPECT_FALSE(isa_rule(ZYDIS_ISA_SET_LAHF).exists({}, true));
  EXPECT_TRUE(isa_rule(ZYDIS_ISA_SET_LAHF).exists({}, false));
}

TEST(IsaRule, MixedSetsAreToldApartByMnemonic) {
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_PENTIUMREAL, ZYDIS_MNEMONIC_RDTSC).feature, Feature::kTsc);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_PENTIUMREAL, ZYDIS_MNEMONIC_CMPXCHG8B).feature, Feature::kCx8);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_PPRO, ZYDIS_MNEMONIC_SYSENTER).feature, Feature::kSep);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_PPRO, ZYDIS_MNEMONIC_FUCOMI).also, Feature::kCmov);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_PPRO, ZYDIS_MNEMONIC_UD2).kind, Kind::kAlways);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_PENTIUMMMX, ZYDIS_MNEMONIC_PADDB).feature, Feature::kMmx);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_PENTIUMMMX, ZYDIS_MNEMONIC_PSHUFW).feature, Feature::kSse);
  EXPECT_EQ(isa_rule(ZYDIS_ISA_SET_SSE2, ZYDIS_MNEMONIC_PAVGB).feature, Feature::kSse2);
}

}  // namespace
}  // namespace vireo::x86
