#include "x86/paging/paging_mode.h"

#include <gtest/gtest.h>

#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {
namespace {

using Kind = PagingMode::Kind;

class PagingModeTest : public ::testing::Test {
 protected:
  CpuidModel model = CpuidModel::parse("baseline,+la57,+smep,+smap", {}).value();
  CpuState state;

  PagingMode mode() const { return PagingMode::of(state, model); }
};

TEST_F(PagingModeTest, TheControlRegistersChooseTheFormat) {
  state.cr4 = cr4::kPae;
  EXPECT_EQ(mode().kind, Kind::kNone);
  state.cr0 |= cr0::kPe | cr0::kPg;
  EXPECT_EQ(mode().kind, Kind::kPae);
  state.cr4 = 0;
  EXPECT_EQ(mode().kind, Kind::k32Bit);
  state.cr4 = cr4::kPae;
  state.msr.efer = efer::kLme | efer::kLma;
  EXPECT_EQ(mode().kind, Kind::k4Level);
  state.cr4 |= cr4::kLa57;
  EXPECT_EQ(mode().kind, Kind::k5Level);
}

TEST_F(PagingModeTest, EachProtectionFollowsItsBit) {
  const PagingMode nothing = mode();
  PagingMode expected = nothing;
  expected.write_protect = true;
  state.cr0 |= cr0::kWp;
  EXPECT_EQ(mode(), expected);
  expected.smep = true;
  state.cr4 |= cr4::kSmep;
  EXPECT_EQ(mode(), expected);
  expected.smap = true;
  state.cr4 |= cr4::kSmap;
  EXPECT_EQ(mode(), expected);
  expected.large_pages = true;
  state.cr4 |= cr4::kPse;
  EXPECT_EQ(mode(), expected);
  expected.global_pages = true;
  state.cr4 |= cr4::kPge;
  EXPECT_EQ(mode(), expected);
  expected.execute_disable = true;
  state.msr.efer |= efer::kNxe;
  EXPECT_EQ(mode(), expected);
  state.cr4 |= cr4::kPke;  // only in 4- and 5-level paging
  EXPECT_EQ(mode(), expected);
  state.msr.efer |= efer::kLma;
  EXPECT_TRUE(mode().protection_keys);
}

TEST_F(PagingModeTest, TheModelSaysWhichPagesExist) {
  EXPECT_TRUE(mode().pse36);
  EXPECT_FALSE(mode().huge_pages);
  EXPECT_TRUE(mode().attributes);
  EXPECT_EQ(mode().physical_address_bits, model.physical_address_bits());
  model = CpuidModel::parse("baseline,+pdpe1gb,-pse36,-pat", {}).value();
  EXPECT_FALSE(mode().pse36);
  EXPECT_TRUE(mode().huge_pages);
  EXPECT_FALSE(mode().attributes);
}

}  // namespace
}  // namespace vireo::x86
