#include "devices/irqchip/apic_timer.h"

#include <gtest/gtest.h>

#include "devices/irqchip/apic_test_rig.h"

namespace vireo::devices {
namespace {

constexpr std::uint64_t kLvt = 0x320, kInitial = 0x380, kCurrent = 0x390, kDivide = 0x3e0;
constexpr std::uint32_t kPeriodic = 0x20000, kMasked = 0x10000, kVector = 0xee;

/// 1 GHz, so that a count is a nanosecond.
struct ApicTimerTest : ::testing::Test {
  ApicTimerTest() {
    rig.write(kLvt, kVector);
    rig.write(kDivide, 0x0b);
  }
  bool expired() {
    if (rig.take() != kVector) return false;
    rig.eoi();
    return true;
  }
  test::ApicRig rig;
};

TEST_F(ApicTimerTest, OneShotCountsDownOnce) {
  rig.write(kInitial, 100'000);
  rig.clock.advance(99'999);
  EXPECT_EQ(rig.read(kCurrent), 1u);
  EXPECT_FALSE(expired());
  rig.clock.advance(1);
  EXPECT_EQ(rig.read(kCurrent), 0u);
  EXPECT_TRUE(expired());
  rig.clock.advance(1'000'000);
  EXPECT_FALSE(expired());
  EXPECT_EQ(rig.read(kInitial), 100'000u);
}

TEST_F(ApicTimerTest, PeriodicStartsOverWithoutDrift) {
  rig.write(kLvt, kPeriodic | kVector);
  rig.write(kInitial, 100'000);
  for (int i = 0; i < 5; ++i) {
    rig.clock.advance(99'999);
    EXPECT_FALSE(expired());
    rig.clock.advance(1);
    EXPECT_TRUE(expired());
    EXPECT_EQ(rig.read(kCurrent), 100'000u);
  }
}

TEST_F(ApicTimerTest, DivisorsAreThoseOfTheManual) {
  const std::pair<std::uint32_t, std::uint32_t> divisors[] = {
      {0x0, 2}, {0x1, 4}, {0x2, 8}, {0x3, 16}, {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};
  for (const auto& [code, divisor] : divisors) {
    rig.write(kDivide, code);
    EXPECT_EQ(rig.read(kDivide), code);
    rig.write(kInitial, 1000);
    rig.clock.advance(10 * divisor);
    EXPECT_EQ(rig.read(kCurrent), 990u) << divisor;
    rig.clock.advance(990 * divisor);
    EXPECT_TRUE(expired());
  }
}

TEST_F(ApicTimerTest, ADivisorChangedOnTheWayAppliesToTheRest) {
  rig.write(kInitial, 1000);
  rig.clock.advance(400);
  rig.write(kDivide, 0x0);
  EXPECT_EQ(rig.read(kCurrent), 600u);
  rig.clock.advance(1199);
  EXPECT_FALSE(expired());
  rig.clock.advance(1);
  EXPECT_TRUE(expired());
}

TEST_F(ApicTimerTest, CountingGoesOnWhenTheModeChanges) {
  rig.write(kInitial, 100'000);
  rig.clock.advance(60'000);
  rig.write(kLvt, kPeriodic | kVector);
  EXPECT_EQ(rig.read(kCurrent), 40'000u);
  rig.clock.advance(50'000);
  EXPECT_TRUE(expired());
  EXPECT_EQ(rig.read(kCurrent), 90'000u);  // started over
  rig.write(kLvt, kVector);
  rig.clock.advance(90'000);
  EXPECT_TRUE(expired());
  EXPECT_EQ(rig.read(kCurrent), 0u);
  rig.write(kLvt, kPeriodic | kVector);
  EXPECT_EQ(rig.read(kCurrent), 0u);  // stays stopped
  EXPECT_EQ(rig.clock.armed(), 0u);
}

TEST_F(ApicTimerTest, TscDeadlineModeStopsTheCount) {
  rig.write(kInitial, 100'000);
  rig.write(kLvt, 0x40000 | kVector);
  EXPECT_EQ(rig.read(kCurrent), 0u);
  rig.write(kLvt, kVector);
  EXPECT_EQ(rig.read(kInitial), 0u);
  EXPECT_EQ(rig.read(kCurrent), 0u);
  rig.clock.advance(200'000);
  EXPECT_FALSE(expired());
}

TEST_F(ApicTimerTest, ZeroStopsIt) {
  rig.write(kInitial, 1000);
  rig.write(kInitial, 0);
  EXPECT_EQ(rig.clock.armed(), 0u);
  rig.clock.advance(2000);
  EXPECT_FALSE(expired());
}

TEST_F(ApicTimerTest, MaskedItCountsAndAnExpiryIsLost) {
  rig.write(kLvt, kMasked | kVector);
  rig.write(kInitial, 1000);
  rig.clock.advance(500);
  EXPECT_EQ(rig.read(kCurrent), 500u);
  rig.clock.advance(600);
  rig.write(kLvt, kVector);
  EXPECT_FALSE(expired());
  rig.write(kLvt, kMasked | kPeriodic | kVector);
  rig.write(kInitial, 1000);
  rig.clock.advance(1500);
  rig.write(kLvt, kPeriodic | kVector);
  EXPECT_FALSE(expired());
  rig.clock.advance(500);
  EXPECT_TRUE(expired());
}

TEST_F(ApicTimerTest, AnExpiryBeforeTheEventThreadCameIsNotLost) {
  rig.write(kInitial, 1000);
  rig.clock.skip(1500);
  EXPECT_FALSE(expired());
  rig.write(kDivide, 0x0b);  // the write finds the expiry that no callback has reported
  EXPECT_TRUE(expired());
  rig.clock.advance(0);
  EXPECT_FALSE(expired());
}

TEST_F(ApicTimerTest, MissedPeriodsAreOneInterruptAndKeepThePhase) {
  rig.write(kLvt, kPeriodic | kVector);
  rig.write(kInitial, 100'000);
  rig.clock.stall(350'000);
  EXPECT_TRUE(expired());
  EXPECT_FALSE(expired());
  EXPECT_EQ(rig.read(kCurrent), 50'000u);
  rig.clock.advance(50'000);
  EXPECT_TRUE(expired());
}

TEST_F(ApicTimerTest, AnAbsurdPeriodDoesNotKeepTheEventThreadBusy) {
  rig.write(kLvt, kPeriodic | kVector);
  rig.write(kInitial, 1);
  const int before = rig.cpu().interrupts;
  for (int i = 0; i < 1000; ++i) rig.clock.advance(1000), expired();
  EXPECT_GT(rig.cpu().interrupts - before, 10);
  EXPECT_LT(rig.cpu().interrupts - before, 100);
}

TEST(ApicTimer, AClockThatDoesNotDivideTheSecondKeepsItsPhase) {
  vireo::test::FakeClock clock;
  ApicTimer timer(clock, 3);  // three ticks a second
  timer.set_divide(0x0b, ApicTimerMode::kPeriodic);
  timer.start(1);
  for (int i = 1; i <= 9; ++i) {
    clock.advance(timer.deadline_ns(ApicTimerMode::kPeriodic) - clock.now_ns());
    EXPECT_TRUE(timer.expire(ApicTimerMode::kPeriodic));
  }
  EXPECT_EQ(clock.now_ns(), 3'000'000'000u);
}

}  // namespace
}  // namespace vireo::devices
