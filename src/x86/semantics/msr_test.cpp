#include "x86/semantics/msr.h"

#include <gtest/gtest.h>

#include <set>

#include "x86/semantics/control_test_port.h"

namespace vireo::x86 {
namespace {

constexpr std::uint32_t kTscMsr = 0x10, kApicBase = 0x1b, kTscAdjustMsr = 0x3b, kDeadline = 0x6e0;
constexpr std::uint64_t kNotCanonical = 0xaaaa'aaaa'aaaa'aaaa;

class MsrTest : public ::testing::Test {
 protected:
  SystemPort port{"baseline,+rdtscp,+xsave,+xsavec,+xsaves"};
  CpuState state;

  std::uint64_t read(std::uint32_t index) {
    const auto result = read_msr(state, port, index);
    EXPECT_TRUE(result) << std::hex << index;
    return result.value_or(0);
  }
  OrFault<> write(std::uint32_t index, std::uint64_t value) {
    return write_msr(state, port, index, value);
  }
  void expect_kept(std::uint32_t index, std::uint64_t value) {
    EXPECT_TRUE(write(index, value)) << std::hex << index << " " << value;
    EXPECT_EQ(read(index), value) << std::hex << index;
  }
  void expect_refused(std::uint32_t index, std::uint64_t value) {
    const CpuState before = state;
    EXPECT_TRUE(faults_with(write(index, value), kGp0)) << std::hex << index << " " << value;
    EXPECT_TRUE(state == before);
  }
  void expect_absent(std::uint32_t index) {
    EXPECT_TRUE(faults_with(read_msr(state, port, index), kGp0)) << std::hex << index;
    EXPECT_TRUE(faults_with(write(index, 0), kGp0)) << std::hex << index;
  }
};

TEST_F(MsrTest, WhatNoModelHasIsRefused) {
  for (const std::uint32_t index :
       {0x0u, 0x11u, 0x140u, 0x186u, 0x210u, 0x251u, 0x270u, 0x428u, 0x480u, 0x7ffu, 0x900u,
        0x40000000u, 0xc0000104u, 0xc0000085u, 0xc0010117u, 0xffffffffu})
    expect_absent(index);
}

TEST_F(MsrTest, AddressesMustBeCanonical) {
  enter_long_mode(state);
  for (const std::uint32_t index :
       {0x175u, 0x176u, 0xc0000082u, 0xc0000083u, 0xc0000100u, 0xc0000101u, 0xc0000102u}) {
    expect_kept(index, 0x0000'1234'5678'9abc);
    expect_refused(index, kNotCanonical);
  }
  EXPECT_EQ(state.segment[kFs].base, 0x0000'1234'5678'9abcu);
  EXPECT_EQ(state.segment[kGs].base, 0x0000'1234'5678'9abcu);
}

TEST_F(MsrTest, AddressesAreAsWideAsTheCpuCanHaveThem) {
  SystemPort wide{"baseline,+la57"};
  constexpr std::uint64_t kWide = 0x00aa'aaaa'aaaa'aaaa;
  enter_long_mode(state);
  for (const std::uint32_t index : {0x175u, 0x176u, 0xc0000082u, 0xc0000100u, 0xc0000102u}) {
    expect_refused(index, kWide);
    EXPECT_TRUE(write_msr(state, wide, index, kWide)) << "CR4.LA57 does not matter";
    EXPECT_EQ(read_msr(state, wide, index).value_or(0), kWide);
    EXPECT_TRUE(faults_with(write_msr(state, wide, index, kNotCanonical), kGp0));
  }
}

TEST_F(MsrTest, LongModeMsrsNeedLongMode) {
  SystemPort without("baseline,-lm");
  for (const std::uint32_t index : {0xc0000082u, 0xc0000100u, 0xc0000102u})
    EXPECT_TRUE(faults_with(read_msr(state, without, index), kGp0));
  SystemPort none("baseline,-lm,-nx,-syscall");
  EXPECT_TRUE(faults_with(read_msr(state, none, 0xc0000080), kGp0));
  EXPECT_TRUE(faults_with(write_msr(state, none, 0xc0000080, 0), kGp0));
  EXPECT_TRUE(faults_with(read_msr(state, none, 0xc0000103), kGp0));
  EXPECT_TRUE(faults_with(write_msr(state, none, 0xc0000103, 0), kGp0));
}

TEST_F(MsrTest, PlainOnesKeepTheBitsThatTheyHave) {
  expect_kept(0x174, 0x1234);
  expect_kept(0xc0000081, ~0ull);
  expect_kept(0xc0000084, 0xffffffff);
  expect_refused(0xc0000084, 1ull << 32);
  expect_kept(0xc0000103, 0xffffffff);
  expect_refused(0xc0000103, 1ull << 32);
  expect_kept(0xda0, 0);
  expect_refused(0xda0, 1u << 8);
  expect_kept(0x1d9, 3);
  expect_refused(0x1d9, 4);
}

TEST_F(MsrTest, EferIsTheControlRegister) {
  expect_kept(0xc0000080, efer::kSce | efer::kNxe);
  EXPECT_GT(port.mode_changes, 0u);
  expect_refused(0xc0000080, 1u << 1);
}

TEST_F(MsrTest, MiscEnableKeepsItsReadOnlyBits) {
  const std::uint64_t original = read(0x1a0);
  EXPECT_EQ(original & 0x1880, 0x1800u);
  ASSERT_TRUE(write(0x1a0, 0x400c50009));
  EXPECT_EQ(read(0x1a0), 0x400c51809u);
  expect_refused(0x1a0, 1u << 1);
}

TEST_F(MsrTest, TheTscMovesWithItsAdjustment) {
  port.clock = 5000;
  ASSERT_TRUE(write(kTscMsr, 0));
  EXPECT_EQ(read(kTscMsr), 0u);
  port.clock = 5100;
  EXPECT_EQ(read(kTscMsr), 100u);
  EXPECT_EQ(read(kTscAdjustMsr), 0 - std::uint64_t{5000});
  ASSERT_TRUE(write(kTscAdjustMsr, 0));
  EXPECT_EQ(read(kTscMsr), 5100u);
  ASSERT_TRUE(write(kTscAdjustMsr, 10));
  EXPECT_EQ(read(kTscMsr), 5110u);
  EXPECT_EQ(state.tsc_offset, 10u);
}

TEST_F(MsrTest, TheDeadlineIsOnTheGuestsScale) {
  port.platform[kDeadline] = 0;
  port.clock = 5000;
  ASSERT_TRUE(write(kTscMsr, 100));
  ASSERT_TRUE(write(kDeadline, 150));
  EXPECT_EQ(port.platform[kDeadline], 5050u);
  EXPECT_EQ(read(kDeadline), 150u);
  ASSERT_TRUE(write(kTscMsr, 140));  // now 10 ticks away instead of 50
  EXPECT_EQ(port.platform[kDeadline], 5010u);
  EXPECT_EQ(read(kDeadline), 150u);
  ASSERT_TRUE(write(kDeadline, 0));
  EXPECT_EQ(port.platform[kDeadline], 0u);
  EXPECT_EQ(read(kDeadline), 0u);
}

TEST_F(MsrTest, DeadlinesAtTheEdgesOfTheScaleDoNotWrap) {
  port.platform[kDeadline] = 0;
  port.clock = 5000;
  ASSERT_TRUE(write(kDeadline, 4999));
  EXPECT_EQ(port.platform[kDeadline], 1u);  // armed, and over
  ASSERT_TRUE(write(kTscMsr, 10));
  ASSERT_TRUE(write(kDeadline, ~0ull));
  EXPECT_EQ(port.platform[kDeadline], ~0ull);
}

TEST_F(MsrTest, PlatformMsrsAreTheMachines) {
  port.platform[kApicBase] = 0xfee00900;
  port.platform[0x808] = 0;
  EXPECT_EQ(read(kApicBase), 0xfee00900u);
  expect_kept(0x808, 0x20);
  expect_absent(0x802);
  SystemPort without("baseline,-x2apic");
  without.platform[0x808] = 0;
  EXPECT_TRUE(faults_with(read_msr(state, without, 0x808), kGp0));
}

TEST_F(MsrTest, PatTakesMemoryTypesOnly) {
  expect_kept(0x277, 0x0001'0405'0607'0006);
  for (const unsigned type : {2u, 3u, 8u, 0xffu})
    for (const unsigned shift : {0u, 56u}) expect_refused(0x277, std::uint64_t{type} << shift);
}

TEST_F(MsrTest, MtrrsAreValidated) {
  EXPECT_EQ(read(0xfe), 0x508u);
  expect_refused(0xfe, 0x508);
  expect_kept(0x2ff, 0xc06);
  expect_refused(0x2ff, 0xc07);
  expect_refused(0x2ff, 0x1006);
  expect_kept(0x250, 0x0606'0606'0606'0606);
  expect_refused(0x250, 0x0606'0306'0606'0606);
  expect_kept(0x200, 0xc000'0006);
  expect_refused(0x200, 0xc000'0002);
  expect_refused(0x200, 0xc000'0106);
  expect_refused(0x200, 1ull << 40);
  expect_kept(0x20f, 0xff'c000'0800);
  expect_refused(0x20f, 0xff'c000'0400);
  expect_refused(0x20f, 1ull << 40);
}

TEST_F(MsrTest, EachFixedRangeHasItsOwnMtrr) {
  std::uint64_t types = 0x0606'0606'0606'0601;
  for (const std::uint32_t index :
       {0x250u, 0x258u, 0x259u, 0x268u, 0x269u, 0x26au, 0x26bu, 0x26cu, 0x26du, 0x26eu, 0x26fu}) {
    ASSERT_TRUE(write(index, types));
    types = types << 8 | types >> 56;
    if (types == 0x0606'0606'0606'0601) types = 0x0505'0505'0505'0504;
  }
  std::set<std::uint64_t> distinct(state.msr.mtrr_fixed.begin(), state.msr.mtrr_fixed.end());
  EXPECT_EQ(distinct.size(), 11u);
}

TEST_F(MsrTest, MachineCheckBanksFollowTheirRules) {
  const auto banks = static_cast<std::uint32_t>(read(0x179) & 0xff);
  EXPECT_EQ(banks, 10u);
  for (std::uint32_t bank = 0; bank < banks; ++bank) {
    const std::uint32_t control = 0x400 + 4 * bank;
    expect_kept(control, 0);
    expect_kept(control, ~0ull);
    expect_refused(control, kNotCanonical);
    expect_kept(control + 1, 0);
    expect_refused(control + 1, 1);
    for (const std::uint32_t index : {control + 2, control + 3}) {
      expect_kept(index, ~0ull);
      expect_kept(index, kNotCanonical);
    }
  }
  for (std::uint32_t index = 0x400 + 4 * banks; index < 0x480; ++index) expect_absent(index);
  expect_kept(0x17a, 4);
  expect_refused(0x17a, 16);
  expect_kept(0x17b, ~0ull);
  expect_refused(0x17b, 1);
}

TEST_F(MsrTest, SpeculationControlsAreThoseOffered) {
  expect_kept(0x48, 3);
  expect_kept(0x48, 0x401);
  expect_refused(0x48, 4);
  EXPECT_TRUE(write(0x49, 1));
  EXPECT_TRUE(faults_with(read_msr(state, port, 0x49), kGp0));
  expect_refused(0x49, 2);
  EXPECT_EQ(read(0x10a) & 3, 3u);
  expect_refused(0x10a, 0);
  SystemPort without("baseline,-spec_ctrl");
  EXPECT_TRUE(faults_with(write_msr(state, without, 0x48, 0), kGp0));
  EXPECT_EQ(read_msr(state, without, 0x10a).value() & 3, 1u);
  SystemPort without_bhi("baseline,-bhi_ctrl");
  EXPECT_TRUE(write_msr(state, without_bhi, 0x48, 3));
  EXPECT_TRUE(faults_with(write_msr(state, without_bhi, 0x48, 0x400), kGp0));
}

TEST_F(MsrTest, FeatureControlIsLocked) {
  EXPECT_EQ(read(0x3a), 1u);
  expect_refused(0x3a, 1);
  state.msr.feature_control = 0;
  expect_refused(0x3a, 4);  // nothing that could be enabled
  expect_kept(0x3a, 1);
}

TEST_F(MsrTest, IdentityIsReadOnlyOrIgnoresWrites) {
  EXPECT_EQ(read(0xce), 21ull << 8 | 21ull << 40);
  expect_refused(0xce, 0);
  EXPECT_EQ(read(0x35), 0x20002u);
  ASSERT_TRUE(write(0x8b, 0));
  EXPECT_EQ(read(0x8b), 1ull << 32);
  EXPECT_EQ(read(0x34), 0u);
}

TEST_F(MsrTest, EachVendorHasItsOwn) {
  SystemPort amd("baseline,+rdtscp", Vendor::kAmd);
  expect_absent(0xc0010015);
  EXPECT_EQ(read_msr(state, amd, 0xc0010015).value(), 1u << 24);
  EXPECT_EQ(read_msr(state, amd, 0xc0011029).value(), 2u);
  EXPECT_EQ(read_msr(state, amd, 0xc001102f).value(), 0u);
  EXPECT_TRUE(write_msr(state, amd, 0xc0010015, 0));
  EXPECT_TRUE(write_msr(state, amd, 0xc0010007, 99));
  EXPECT_EQ(read_msr(state, amd, 0xc0010007).value(), 0u) << "no counter counts";
  EXPECT_TRUE(faults_with(read_msr(state, amd, 0xc0010008), kGp0));
  EXPECT_TRUE(faults_with(read_msr(state, amd, 0xce), kGp0));
  ASSERT_TRUE(write_msr(state, amd, 0xc0000103, 1ull << 32 | 5));  // AMD drops the upper half
  EXPECT_EQ(state.msr.tsc_aux, 5u);
}

TEST_F(MsrTest, KvmsAreTheMachinesAndThereOnlyWithTheirFeatures) {
  for (const std::uint32_t index : {0x4b564d00u, 0x4b564d01u, 0x4b564d02u, 0x4b564d03u})
    expect_absent(index);
  SystemPort kvm("baseline,+kvmclock,+kvm-steal-time");
  for (const std::uint32_t index : {0x4b564d00u, 0x4b564d01u, 0x4b564d03u}) {
    EXPECT_TRUE(faults_with(write_msr(state, kvm, index, 1), kGp0)) << "the machine refuses it";
    kvm.platform[index] = 7;
    EXPECT_TRUE(write_msr(state, kvm, index, 0x1001));
    EXPECT_EQ(read_msr(state, kvm, index).value_or(0), 0x1001u);
  }
  EXPECT_TRUE(faults_with(read_msr(state, kvm, 0x4b564d02), kGp0));
}

TEST_F(MsrTest, TheMachinesClockIsToldOfTheGuestsTsc) {
  SystemPort kvm("baseline,+kvmclock");
  kvm.platform[kTscMsr] = kvm.platform[0x4b564d01] = 0;
  state.tsc_offset = 500;
  EXPECT_TRUE(write_msr(state, kvm, 0x4b564d01, 0x1001));
  EXPECT_EQ(kvm.platform[kTscMsr], 500u);
  EXPECT_TRUE(write_msr(state, kvm, kTscAdjustMsr, 300));
  EXPECT_EQ(kvm.platform[kTscMsr], 800u);
  EXPECT_TRUE(write_msr(state, kvm, kTscMsr, read_msr(state, kvm, kTscMsr).value_or(0) + 200));
  EXPECT_EQ(kvm.platform[kTscMsr], 1000u);
}

}  // namespace
}  // namespace vireo::x86
