#include "x86/delivery/numeric_error.h"

#include <gtest/gtest.h>

#include "support/fake_cpu_port.h"

namespace vireo::x86 {
namespace {

constexpr std::uint16_t kPending = 0x8084;  // B, ES, #Z

TEST(NumericError, OnlyAPendingX87ExceptionWithNeClearIsReportedByFerr) {
  CpuState state;
  EXPECT_TRUE(reported_by_ferr(state, {Vector::kMF}));
  EXPECT_FALSE(reported_by_ferr(state, {Vector::kXM}));
  state.cr0 |= cr0::kNe;
  EXPECT_FALSE(reported_by_ferr(state, {Vector::kMF}));
}

TEST(NumericError, AFrozenCpuIsHaltedAndAssertsFerrOnce) {
  FakeCpuPort port;
  CpuState state;
  freeze(state, port);
  freeze(state, port);
  EXPECT_EQ(state.activity, static_cast<std::uint8_t>(Activity::kHalted));
  EXPECT_EQ(state.ferr, 1);
  EXPECT_EQ(port.ferr_levels, std::vector<bool>{true});
}

TEST(NumericError, FerrIsDeassertedWhenNothingIsPending) {
  FakeCpuPort port;
  CpuState state;
  follow_error_summary(state, port);
  EXPECT_TRUE(port.ferr_levels.empty());
  state.fpu.status = kPending;
  freeze(state, port);
  follow_error_summary(state, port);
  EXPECT_EQ(state.ferr, 1);
  state.fpu.status = 0;
  follow_error_summary(state, port);
  EXPECT_EQ(state.ferr, 0);
  EXPECT_EQ(port.ferr_levels, (std::vector<bool>{true, false}));
}

TEST(NumericError, IgnoredExceptionsComeBackBesideNewOnes) {
  FpuState fpu;
  fpu.control = 0x37b;
  fpu.status = kPending | 0x3800;
  const IgnoredExceptions ignored(fpu);
  EXPECT_EQ(fpu.status, 0x3800);
  fpu.status = 0x3020;
  ignored.put_back(fpu);
  EXPECT_EQ(fpu.status, kPending | 0x3020);
}

TEST(NumericError, WhatHasBeenMaskedMeanwhileIsNoLongerPending) {
  FpuState fpu;
  fpu.control = 0x37b;
  fpu.status = kPending;
  const IgnoredExceptions ignored(fpu);
  fpu.control = 0x37f;
  ignored.put_back(fpu);
  EXPECT_EQ(fpu.status, 4);
}

}  // namespace
}  // namespace vireo::x86
