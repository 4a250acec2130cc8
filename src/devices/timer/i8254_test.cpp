#include "devices/timer/i8254.h"

#include <gtest/gtest.h>

#include "devices/timer/timer_test_rig.h"
#include "support/saved_state.h"

namespace vireo::devices {
namespace {

struct PitTest : ::testing::Test {
  void control(std::uint8_t byte) { test::put<std::uint8_t>(pit, 3, byte); }
  void count(unsigned channel, std::uint16_t value) {
    test::put(pit, channel, static_cast<std::uint8_t>(value));
    test::put(pit, channel, static_cast<std::uint8_t>(value >> 8));
  }
  std::uint16_t read(unsigned channel) {
    const auto low = test::get<std::uint8_t>(pit, channel);
    return static_cast<std::uint16_t>(low | test::get<std::uint8_t>(pit, channel) << 8);
  }
  std::uint8_t status(unsigned channel) {
    control(static_cast<std::uint8_t>(0xe0 | 2U << channel));
    return test::get<std::uint8_t>(pit, channel);
  }
  bool out(unsigned channel) { return status(channel) & 0x80; }
  void gate2(bool high) { test::put<std::uint8_t>(pit.port61(), 0, high); }
  bool out2() { return test::get<std::uint8_t>(pit.port61(), 0) & 0x20; }
  /// To the moment at which this many ticks have happened since power-up.
  void to_tick(std::uint64_t tick) {
    clock.advance(TickRate(Pit::kHz).ns_at(tick) - clock.now_ns());
  }

  vireo::test::FakeClock clock;
  test::EdgeCounter irq0;
  Pit pit{clock, clock, irq0};
};

TEST_F(PitTest, Mode0RaisesOutOneTickAfterTheCountAndStaysHigh) {
  control(0x30);
  EXPECT_FALSE(irq0.level);
  count(0, 100);
  to_tick(100);
  EXPECT_FALSE(irq0.level);
  to_tick(101);
  EXPECT_TRUE(irq0.level);
  to_tick(70'000);
  EXPECT_TRUE(irq0.level);
  EXPECT_EQ(irq0.rises, 1);
}

TEST_F(PitTest, Mode0CountsOnBelowZero) {
  control(0x30);
  count(0, 100);
  to_tick(1);
  EXPECT_EQ(read(0), 100);
  to_tick(102);
  EXPECT_EQ(read(0), 0xffff);
}

TEST_F(PitTest, Mode0ANewCountStartsOver) {
  control(0x30);
  count(0, 100);
  to_tick(90);
  count(0, 100);
  to_tick(190);
  EXPECT_FALSE(irq0.level);
  to_tick(191);
  EXPECT_TRUE(irq0.level);
  test::put<std::uint8_t>(pit, 0, 5);  // the first byte alone lowers OUT
  EXPECT_FALSE(irq0.level);
}

TEST_F(PitTest, Mode2GivesOneEdgePerPeriod) {
  control(0x34);
  EXPECT_TRUE(irq0.level);
  count(0, 11932);
  const int before = irq0.rises;
  to_tick(1 + 11932 * 10 - 1);
  EXPECT_EQ(irq0.rises - before, 9);
  to_tick(1 + 11932 * 10);
  EXPECT_EQ(irq0.rises - before, 10);
}

TEST_F(PitTest, Mode2CountsFromTheCountToOneAndIsLowAtOne) {
  control(0x34);
  count(0, 100);
  to_tick(1);
  EXPECT_EQ(read(0), 100);
  to_tick(100);
  EXPECT_EQ(read(0), 1);
  EXPECT_FALSE(out(0));
  to_tick(101);
  EXPECT_EQ(read(0), 100);
  EXPECT_TRUE(out(0));
}

TEST_F(PitTest, Mode2TakesANewCountWhenThePeriodEnds) {
  control(0x34);
  count(0, 1000);
  to_tick(500);
  count(0, 200);
  EXPECT_TRUE(status(0) & 0x40);  // null count: not loaded yet
  const int before = irq0.rises;
  to_tick(1000);
  EXPECT_EQ(read(0), 1);
  to_tick(1001);
  EXPECT_EQ(irq0.rises - before, 1);
  EXPECT_EQ(read(0), 200);
  EXPECT_FALSE(status(0) & 0x40);
  to_tick(1201);
  EXPECT_EQ(irq0.rises - before, 2);
}

TEST_F(PitTest, Mode3IsASquareWave) {
  control(0x36);
  count(0, 100);
  to_tick(50);
  EXPECT_TRUE(irq0.level);
  EXPECT_EQ(read(0), 2);
  to_tick(51);
  EXPECT_FALSE(irq0.level);
  EXPECT_EQ(read(0), 100);
  to_tick(101);
  EXPECT_TRUE(irq0.level);
}

TEST_F(PitTest, Mode3WithAnOddCountIsHighForTheLongerHalf) {
  control(0xb6);
  gate2(true);
  count(2, 5);
  const bool expected[] = {true, true, true, false, false};
  for (unsigned tick = 1; tick <= 10; ++tick) {
    to_tick(tick);
    EXPECT_EQ(out(2), expected[(tick - 1) % 5]) << tick;
    EXPECT_EQ(read(2) % 2, 0);
  }
}

TEST_F(PitTest, Mode4StrobesOnce) {
  control(0x38);
  EXPECT_TRUE(irq0.level);
  count(0, 100);
  const int before = irq0.rises;
  to_tick(101);
  EXPECT_FALSE(out(0));
  EXPECT_EQ(irq0.rises, before);
  to_tick(102);
  EXPECT_TRUE(out(0));
  EXPECT_EQ(irq0.rises - before, 1);
  to_tick(200'000);
  EXPECT_EQ(irq0.rises - before, 1);
}

TEST_F(PitTest, Mode1IsLowFromTheTriggerOn) {
  control(0xb2);
  count(2, 100);
  to_tick(50);
  EXPECT_TRUE(out2());
  gate2(true);
  to_tick(51);
  EXPECT_FALSE(out2());
  to_tick(150);
  EXPECT_FALSE(out2());
  to_tick(151);
  EXPECT_TRUE(out2());
  gate2(false);
  gate2(true);  // again
  to_tick(152);
  EXPECT_FALSE(out2());
}

TEST_F(PitTest, Mode1ANewCountWaitsForTheNextTrigger) {
  control(0xb2);
  count(2, 100);
  gate2(true);
  count(2, 10);
  to_tick(100);
  EXPECT_FALSE(out2());
  to_tick(101);
  EXPECT_TRUE(out2());
  gate2(false);
  gate2(true);
  to_tick(111);
  EXPECT_FALSE(out2());
  to_tick(112);
  EXPECT_TRUE(out2());
}

TEST_F(PitTest, Mode5StrobesAfterTheTrigger) {
  control(0xba);
  count(2, 100);
  gate2(true);
  to_tick(100);
  EXPECT_TRUE(out2());
  to_tick(101);
  EXPECT_FALSE(out2());
  to_tick(102);
  EXPECT_TRUE(out2());
}

TEST_F(PitTest, TheGateOfChannel2HoldsTheCount) {
  control(0xb0);
  count(2, 100);
  to_tick(500);
  EXPECT_FALSE(out2());
  gate2(true);
  to_tick(550);
  gate2(false);
  to_tick(5000);
  EXPECT_EQ(read(2), 50);
  gate2(true);
  to_tick(5049);
  EXPECT_FALSE(out2());
  to_tick(5050);
  EXPECT_TRUE(out2());
}

TEST_F(PitTest, TheGateOfChannel2StartsMode2Over) {
  control(0xb4);
  gate2(true);
  count(2, 100);
  to_tick(60);
  gate2(false);
  EXPECT_TRUE(out2());
  to_tick(90);
  gate2(true);
  to_tick(91);
  EXPECT_EQ(read(2), 100);
}

TEST_F(PitTest, ALatchedCountHoldsUntilItIsRead) {
  control(0x34);
  count(0, 1000);
  to_tick(11);
  control(0x00);
  to_tick(21);
  control(0x00);  // the second latch does nothing
  EXPECT_EQ(read(0), 990);
  EXPECT_EQ(read(0), 980);
}

TEST_F(PitTest, ReadBackLatchesStatusAndCountOfSeveralChannels) {
  control(0x34);
  count(0, 1000);
  control(0xb0);
  to_tick(11);
  control(0xc2 | 0x08);
  EXPECT_EQ(test::get<std::uint8_t>(pit, 0), 0xb4);  // OUT, loaded, as programmed
  EXPECT_EQ(read(0), 990);
  EXPECT_EQ(test::get<std::uint8_t>(pit, 2), 0x70);  // low, no count
}

TEST_F(PitTest, OneByteAccessModesReadAndWriteOneByte) {
  control(0x14);  // low byte only
  test::put<std::uint8_t>(pit, 0, 50);
  to_tick(11);
  EXPECT_EQ(test::get<std::uint8_t>(pit, 0), 40);
  EXPECT_EQ(test::get<std::uint8_t>(pit, 0), 40);
  control(0x24);  // high byte only
  test::put<std::uint8_t>(pit, 0, 1);
  to_tick(12);
  EXPECT_EQ(test::get<std::uint8_t>(pit, 0), 1);  // 0x100
}

TEST_F(PitTest, BcdCountsInDecimal) {
  control(0x35);
  count(0, 0x1000);
  to_tick(2);
  EXPECT_EQ(read(0), 0x0999);
  control(0x35);
  count(0, 0);  // 10000
  to_tick(4);
  EXPECT_EQ(read(0), 0x9999);
}

TEST_F(PitTest, ZeroCounts65536) {
  control(0x34);
  count(0, 0);
  const int before = irq0.rises;
  to_tick(65536);
  EXPECT_EQ(irq0.rises, before);
  to_tick(65537);
  EXPECT_EQ(irq0.rises - before, 1);
}

TEST_F(PitTest, Port61KeepsItsFourBitsAndTogglesWithTheRefresh) {
  test::put<std::uint8_t>(pit.port61(), 0, 0xff);
  EXPECT_EQ(test::get<std::uint8_t>(pit.port61(), 0) & 0xcf, 0x0f);
  const auto before = test::get<std::uint8_t>(pit.port61(), 0) & 0x10;
  clock.advance(15'085);
  EXPECT_NE(test::get<std::uint8_t>(pit.port61(), 0) & 0x10, before);
}

TEST_F(PitTest, TheControlPortReadsAsZero) {
  control(0x34);
  EXPECT_EQ(test::get<std::uint8_t>(pit, 3), 0);
}

TEST_F(PitTest, MissedPeriodsAreOneEdge) {
  control(0x34);
  count(0, 1193);
  const int before = irq0.rises;
  clock.stall(100'000'000);
  EXPECT_EQ(irq0.rises - before, 1);
  EXPECT_TRUE(irq0.level);
}

TEST_F(PitTest, AnAccessReportsAnEdgeOnce) {
  control(0x30);
  count(0, 100);
  clock.skip(200'000);
  read(0);
  EXPECT_EQ(irq0.rises, 1);
  clock.advance(1'000'000);
  EXPECT_EQ(irq0.rises, 1);
}

TEST_F(PitTest, AnAbsurdPeriodDoesNotKeepTheEventThreadBusy) {
  control(0x34);
  count(0, 2);
  const int before = irq0.rises;
  for (int i = 0; i < 1000; ++i) clock.advance(1000);
  EXPECT_GT(irq0.rises - before, 10);
  EXPECT_LT(irq0.rises - before, 100);
}

TEST_F(PitTest, SavedStateContinuesWhereItStopped) {
  control(0x34);
  count(0, 1000);
  to_tick(500);
  const auto saved = pit.state();
  const PitState loaded = vireo::test::saved_and_loaded(saved);
  test::EdgeCounter line;
  Pit other(clock, clock, line);
  ASSERT_TRUE(other.restore(loaded));
  EXPECT_EQ(other.state(), saved);
  EXPECT_TRUE(line.level);
  const int before = line.rises;
  to_tick(1001);
  EXPECT_EQ(line.rises - before, 1);
}

TEST_F(PitTest, RefusesAStateThatCouldNotExist) {
  auto hostile = pit.state();
  hostile.channels[0].loaded = 1;  // with a count of 0
  EXPECT_FALSE(pit.restore(hostile));
  hostile = pit.state();
  hostile.port61 = 1;  // but the gate is low
  EXPECT_FALSE(pit.restore(hostile));
}

}  // namespace
}  // namespace vireo::devices
