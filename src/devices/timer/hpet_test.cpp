#include "devices/timer/hpet.h"

#include <gtest/gtest.h>

#include <vector>

#include "devices/timer/pm_timer.h"
#include "devices/timer/timer_test_rig.h"
#include "support/saved_state.h"

namespace vireo::devices {
namespace {

constexpr std::uint64_t kConfig = 0x10, kStatus = 0x20, kCounter = 0xf0;
constexpr std::uint64_t kLevel = 0x2, kEnable = 0x4, kPeriodic = 0x8, kSetValue = 0x40;
constexpr std::uint64_t k32Bits = 0x100, kFsb = 0x4000;

struct Messages final : bus::MsiSink {
  void send_msi(std::uint64_t address, std::uint32_t data) override {
    sent.emplace_back(address, data);
  }
  std::vector<std::pair<std::uint64_t, std::uint32_t>> sent;
};

/// A tick is 10 ns.
struct HpetTest : ::testing::Test {
  static Hpet::Wiring wiring(HpetTest& test) {
    Hpet::Wiring wires;
    for (unsigned i = 16; i < 24; ++i) wires.inputs[i] = &test.inputs[i];
    wires.legacy = &test.gate;
    wires.messages = &test.messages;
    return wires;
  }
  std::uint64_t get(std::uint64_t reg) { return test::get<std::uint64_t>(hpet, reg); }
  void put(std::uint64_t reg, std::uint64_t value) { test::put(hpet, reg, value); }
  static std::uint64_t config_of(unsigned n) { return 0x100 + 0x20 * n; }
  static std::uint64_t comparator_of(unsigned n) { return 0x108 + 0x20 * n; }
  void ticks(std::uint64_t n) { clock.advance(10 * n); }

  vireo::test::FakeClock clock;
  test::EdgeCounter irq0, irq8;
  LegacyTimerGate gate{irq0, irq8};
  Messages messages;
  std::array<test::EdgeCounter, 24> inputs;
  Hpet hpet{clock, clock, wiring(*this)};
};

TEST_F(HpetTest, CapabilitiesSayWhatItIs) {
  EXPECT_EQ(get(0), 10'000'000ULL << 32 | 0x8086A201);
  EXPECT_EQ(get(config_of(1)), 0x00ff0000ULL << 32 | 0x8030);
}

TEST_F(HpetTest, TheCounterRunsOnlyWhileEnabled) {
  put(kCounter, 1000);
  ticks(50);
  EXPECT_EQ(get(kCounter), 1000u);
  put(kConfig, 1);
  ticks(50);
  EXPECT_EQ(get(kCounter), 1050u);
  put(kConfig, 0);
  ticks(50);
  EXPECT_EQ(get(kCounter), 1050u);
}

TEST_F(HpetTest, HalvesOfRegistersCanBeAccessedAlone) {
  test::put<std::uint32_t>(hpet, kCounter + 4, 0x12);
  test::put<std::uint32_t>(hpet, kCounter, 0x34);
  EXPECT_EQ(get(kCounter), 0x12'0000'0034u);
  EXPECT_EQ(test::get<std::uint32_t>(hpet, kCounter + 4), 0x12u);
}

TEST_F(HpetTest, OtherWidthsDoNothing) {
  test::put<std::uint8_t>(hpet, kConfig, 1);
  EXPECT_EQ(get(kConfig), 0u);
  EXPECT_EQ(test::get<std::uint16_t>(hpet, 0), 0xffff);
  std::uint64_t value = 0;
  hpet.read(4, std::as_writable_bytes(std::span(&value, 1)));  // not aligned
  EXPECT_EQ(value, ~0ULL);
}

TEST_F(HpetTest, OneShotFiresWhenTheCounterReachesTheComparator) {
  put(config_of(2), kEnable | 20 << 9);
  put(comparator_of(2), 100);
  put(kConfig, 1);
  ticks(99);
  EXPECT_EQ(inputs[20].rises, 0);
  ticks(1);
  EXPECT_EQ(inputs[20].rises, 1);
  EXPECT_FALSE(inputs[20].level);  // an edge: others may share the input
  ticks(10'000);
  EXPECT_EQ(inputs[20].rises, 1);
}

TEST_F(HpetTest, LevelStaysUntilTheStatusIsCleared) {
  put(config_of(2), kEnable | kLevel | 20 << 9);
  put(comparator_of(2), 100);
  put(kConfig, 1);
  ticks(100);
  EXPECT_TRUE(inputs[20].level);
  EXPECT_EQ(get(kStatus), 4u);
  put(kStatus, 3);  // not this one
  EXPECT_TRUE(inputs[20].level);
  put(kStatus, 4);
  EXPECT_FALSE(inputs[20].level);
  EXPECT_EQ(get(kStatus), 0u);
}

TEST_F(HpetTest, ADisabledLevelTimerStillReportsItsStatus) {
  put(config_of(2), kLevel | 20 << 9);
  put(comparator_of(2), 100);
  put(kConfig, 1);
  ticks(100);
  EXPECT_EQ(get(kStatus), 4u);
  EXPECT_FALSE(inputs[20].level);
  put(config_of(2), kEnable | kLevel | 20 << 9);
  EXPECT_TRUE(inputs[20].level);
  put(kConfig, 0);
  EXPECT_FALSE(inputs[20].level);
}

TEST_F(HpetTest, PeriodicAddsThePeriodToTheComparator) {
  put(kConfig, 1);
  put(config_of(2), kEnable | kPeriodic | kSetValue | 20 << 9);
  put(comparator_of(2), 1000);  // the comparator, by VAL_SET
  EXPECT_FALSE(get(config_of(2)) & kSetValue);
  put(comparator_of(2), 5000);  // the period
  EXPECT_EQ(get(comparator_of(2)), 1000u);
  ticks(999);
  EXPECT_EQ(inputs[20].rises, 0);
  ticks(1);
  EXPECT_EQ(inputs[20].rises, 1);
  EXPECT_EQ(get(comparator_of(2)), 6000u);
  ticks(5000);
  EXPECT_EQ(inputs[20].rises, 2);
  EXPECT_EQ(get(comparator_of(2)), 11000u);
}

TEST_F(HpetTest, PeriodicWithOneWriteHasEqualFirstAndLaterPeriods) {
  put(config_of(2), kEnable | kPeriodic | kSetValue | 20 << 9);
  put(comparator_of(2), 5000);
  put(kConfig, 1);
  ticks(15'000);
  EXPECT_EQ(inputs[20].rises, 3);
}

TEST_F(HpetTest, MissedPeriodsAreOneInterruptAndKeepThePhase) {
  put(config_of(2), kEnable | kPeriodic | kSetValue | 20 << 9);
  put(comparator_of(2), 5000);
  put(kConfig, 1);
  clock.stall(10 * 17'000);
  EXPECT_EQ(inputs[20].rises, 1);
  EXPECT_EQ(get(comparator_of(2)), 20'000u);
}

TEST_F(HpetTest, AMatchBeforeTheEventThreadCameIsNotLost) {
  put(config_of(2), kEnable | kPeriodic | kSetValue | 20 << 9);
  put(comparator_of(2), 5000);
  put(kConfig, 1);
  clock.skip(10 * 5100);
  put(config_of(2), kEnable | kPeriodic | 20 << 9);
  EXPECT_EQ(inputs[20].rises, 1);
  clock.skip(10 * 5000);
  get(kCounter);
  EXPECT_EQ(inputs[20].rises, 2);
  ticks(4900);
  EXPECT_EQ(inputs[20].rises, 3);
}

TEST_F(HpetTest, A32BitTimerComparesTheLowHalfAndWraps) {
  put(kCounter, 0x1'ffff'fff0);
  put(config_of(2), kEnable | k32Bits | 20 << 9);
  put(comparator_of(2), 0xffff'ffff'0000'0010);
  EXPECT_EQ(get(comparator_of(2)), 0x10u);
  put(kConfig, 1);
  ticks(0x1f);
  EXPECT_EQ(inputs[20].rises, 0);
  ticks(1);
  EXPECT_EQ(inputs[20].rises, 1);
  ticks(0x1'0000'0000);
  EXPECT_EQ(inputs[20].rises, 2);
}

TEST_F(HpetTest, A64BitComparatorThatHasPassedDoesNotFire) {
  put(config_of(2), kEnable | 20 << 9);
  put(kCounter, 1000);
  put(kConfig, 1);
  put(comparator_of(2), 999);
  ticks(1'000'000'000);
  EXPECT_EQ(inputs[20].rises, 0);
}

TEST_F(HpetTest, ARouteThatDoesNotExistIsRefused) {
  put(config_of(2), 20 << 9);
  put(config_of(2), 3 << 9);
  EXPECT_EQ(get(config_of(2)) >> 9 & 0x1f, 20u);
}

TEST_F(HpetTest, MessagesGoWhereTheFsbRouteSays) {
  put(config_of(1), kEnable | kFsb);
  put(0x130, 0xfee0'1000'0000'4041);
  put(comparator_of(1), 100);
  put(kConfig, 1);
  ticks(100);
  ASSERT_EQ(messages.sent.size(), 1u);
  EXPECT_EQ(messages.sent[0].first, 0xfee01000u);
  EXPECT_EQ(messages.sent[0].second, 0x4041u);
}

TEST_F(HpetTest, LegacyReplacementTakesIrq0AndIrq8FromPitAndRtc) {
  gate.pit().set_level(true);
  EXPECT_TRUE(irq0.level);
  put(config_of(0), kEnable | kPeriodic | kSetValue);
  put(comparator_of(0), 1'000'000);
  put(config_of(1), kEnable);
  put(comparator_of(1), 500'000);
  put(kConfig, 3);
  EXPECT_FALSE(irq0.level);
  gate.pit().set_level(false);
  gate.pit().set_level(true);
  gate.rtc().set_level(true);
  EXPECT_EQ(irq0.rises, 1);
  EXPECT_EQ(irq8.rises, 0);
  ticks(2'000'000);
  EXPECT_EQ(irq0.rises, 3);
  EXPECT_TRUE(irq0.level);  // an 8259A must find it high
  EXPECT_EQ(irq8.rises, 1);
  put(kConfig, 1);
  EXPECT_TRUE(irq0.level);  // the PIT's again
  EXPECT_TRUE(irq8.level);
  gate.pit().set_level(false);
  EXPECT_FALSE(irq0.level);
}

TEST_F(HpetTest, AnAbsurdPeriodDoesNotKeepTheEventThreadBusy) {
  put(config_of(2), kEnable | kPeriodic | kSetValue | 20 << 9);
  put(comparator_of(2), 1);
  put(kConfig, 1);
  for (int i = 0; i < 1000; ++i) clock.advance(1000);
  EXPECT_GT(inputs[20].rises, 10);
  EXPECT_LT(inputs[20].rises, 100);
}

TEST_F(HpetTest, SavedStateContinuesWhereItStopped) {
  put(config_of(2), kEnable | kLevel | 20 << 9);
  put(comparator_of(2), 100);
  put(config_of(1), kEnable | 21 << 9);
  put(comparator_of(1), 200);
  put(kConfig, 1);
  ticks(150);
  const auto saved = hpet.state();
  const HpetState loaded = vireo::test::saved_and_loaded(saved);
  hpet.reset();
  ASSERT_FALSE(inputs[20].level);
  ASSERT_TRUE(hpet.restore(loaded));
  EXPECT_EQ(hpet.state(), saved);
  EXPECT_TRUE(inputs[20].level);
  ticks(50);
  EXPECT_EQ(inputs[21].rises, 1);
}

TEST_F(HpetTest, RefusesAStateThatCouldNotExist) {
  auto hostile = hpet.state();
  hostile.status = 8;
  EXPECT_FALSE(hpet.restore(hostile));
  hostile = hpet.state();
  hostile.timers[1].config = 1;
  EXPECT_FALSE(hpet.restore(hostile));
}

TEST(PmTimer, CountsAtItsRateInItsWidth) {
  vireo::test::FakeClock clock;
  PmTimer narrow(clock, PmTimer::Width::k24Bits);
  PmTimer wide(clock, PmTimer::Width::k32Bits);
  clock.advance(10'000'000'000);
  EXPECT_EQ(test::get<std::uint32_t>(wide, 0), 35'795'450u);
  EXPECT_EQ(test::get<std::uint32_t>(narrow, 0), 35'795'450u & 0xffffff);
  EXPECT_EQ(test::get<std::uint8_t>(wide, 1), 35'795'450u >> 8 & 0xff);
  test::put<std::uint32_t>(wide, 0, 0);
  EXPECT_EQ(test::get<std::uint32_t>(wide, 0), 35'795'450u);
}

}  // namespace
}  // namespace vireo::devices
