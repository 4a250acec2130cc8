#include "devices/irqchip/io_apic.h"

#include <gtest/gtest.h>

#include "devices/irqchip/apic_test_rig.h"
#include "support/saved_state.h"

namespace vireo::devices {
namespace {

constexpr std::uint32_t kMasked = 0x10000, kLevel = 0x8000, kRemoteIrr = 0x4000;
constexpr std::uint32_t kLogical = 0x800;

struct IoApicTest : ::testing::Test {
  void line(bool high, unsigned pin = 14) { rig.io_apic.input(pin).set_level(high); }
  test::ApicRig rig{4};
};

TEST_F(IoApicTest, EntriesAreMaskedAtPowerUp) {
  for (unsigned pin = 0; pin < IoApic::kInputs; ++pin) EXPECT_EQ(rig.entry(pin), kMasked);
}

TEST_F(IoApicTest, VersionIsReadOnlyAndSaysTwentyFourInputs) {
  rig.write_io(1, 0xffffffff);
  EXPECT_EQ(rig.read_io(1), 0x00170020u);
}

TEST_F(IoApicTest, OnlyFourBitsOfTheIdCanBeWrittenAndArbitrationFollows) {
  rig.write_io(0, 0xffffffff);
  EXPECT_EQ(rig.read_io(0), 0x0f000000u);
  rig.write_io(2, 0);
  EXPECT_EQ(rig.read_io(2), 0x0f000000u);
}

TEST_F(IoApicTest, StatusBitsAndReservedBitsCannotBeWritten) {
  rig.write_io(0x10, 0xffffffff);
  rig.write_io(0x11, 0xffffffff);
  EXPECT_EQ(rig.read_io(0x10), 0x1afffu);
  EXPECT_EQ(rig.read_io(0x11), 0xff000000u);
  EXPECT_EQ(rig.read_io(0x40), 0u);  // beyond the last entry
}

TEST_F(IoApicTest, AnEdgeIsSentOnce) {
  rig.route(14, 0x76);
  line(true);
  line(true);
  EXPECT_EQ(rig.take(), 0x76u);
  rig.eoi();
  EXPECT_EQ(rig.take(), 0u);
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
}

TEST_F(IoApicTest, AnEdgeWhileMaskedIsLost) {
  rig.route(14, 0x81 | kMasked);
  line(true);
  rig.route(14, 0x81);
  EXPECT_EQ(rig.take(), 0u);
  line(false);
  line(true);
  EXPECT_EQ(rig.take(), 0x81u);
}

TEST_F(IoApicTest, ALevelWhileMaskedWaitsForTheUnmasking) {
  rig.route(14, 0x82 | kLevel | kMasked);
  line(true);
  EXPECT_EQ(rig.take(), 0u);
  rig.route(14, 0x82 | kLevel);
  EXPECT_EQ(rig.take(), 0x82u);
}

TEST_F(IoApicTest, ALevelIsSentAgainAfterEveryEoiUntilItIsLow) {
  rig.route(14, 0x9a | kLevel);
  line(true);
  EXPECT_EQ(rig.take(), 0x9au);
  EXPECT_TRUE(rig.entry(14) & kRemoteIrr);
  rig.eoi();
  EXPECT_EQ(rig.take(), 0x9au);
  line(false);
  rig.eoi();
  EXPECT_EQ(rig.take(), 0u);
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
}

TEST_F(IoApicTest, LevelsBeforeTheEoiAreOneInterrupt) {
  rig.route(14, 0x98 | kLevel);
  line(true);
  EXPECT_EQ(rig.take(), 0x98u);
  line(false);
  line(true);
  line(false);
  rig.eoi();
  EXPECT_EQ(rig.take(), 0u);
}

TEST_F(IoApicTest, EoiClearsRemoteIrrOfAMaskedEntryAndUnmaskingSendsAgain) {
  rig.route(14, 0x83 | kLevel);
  line(true);
  EXPECT_EQ(rig.take(), 0x83u);
  rig.route(14, 0x83 | kLevel | kMasked);
  EXPECT_TRUE(rig.entry(14) & kRemoteIrr);
  rig.eoi();
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
  EXPECT_EQ(rig.take(), 0u);
  rig.route(14, 0x83 | kLevel);
  EXPECT_EQ(rig.take(), 0x83u);
}

TEST_F(IoApicTest, WritingRemoteIrrBackDoesNotSetIt) {
  rig.route(14, 0x83 | kLevel | kRemoteIrr);
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
  line(true);
  EXPECT_EQ(rig.take(), 0x83u);
}

TEST_F(IoApicTest, ChangingToEdgeAndBackClearsRemoteIrr) {
  rig.route(14, 0x83 | kLevel);
  line(true);
  line(false);
  ASSERT_TRUE(rig.entry(14) & kRemoteIrr);
  rig.write_io(0x10 + 28, 0x83 | kMasked);
  rig.write_io(0x10 + 28, 0x83 | kLevel | kMasked);
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
}

TEST_F(IoApicTest, TheTriggerModeShowsInTmr) {
  rig.route(14, 0x79 | kLevel);
  EXPECT_FALSE(rig.bit(0x180, 0x79));
  line(true);
  EXPECT_TRUE(rig.bit(0x180, 0x79));
  rig.take();
  line(false);
  rig.eoi();
  rig.route(14, 0x79);
  EXPECT_TRUE(rig.bit(0x180, 0x79));
  line(true);
  EXPECT_FALSE(rig.bit(0x180, 0x79));
}

TEST_F(IoApicTest, AChangedDestinationDoesNotDisturbAnInterruptInService) {
  rig.route(14, 0x84 | kLevel);
  line(true);
  line(false);
  rig.write_io(0x11 + 28, 1U << 24);
  EXPECT_TRUE(rig.entry(14) & kRemoteIrr);
  EXPECT_EQ(rig.take(), 0x84u);
  rig.eoi();
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
  line(true);
  EXPECT_EQ(rig.take(0), 0u);
  EXPECT_EQ(rig.take(1), 0x84u);
}

TEST_F(IoApicTest, LogicalDestinationsReachSeveralCpusInX2apicMode) {
  for (unsigned cpu = 0; cpu < 4; ++cpu) rig.enter_x2apic(cpu);
  rig.route(14, 0x86 | kLevel | kLogical, 0xd);
  line(true);
  EXPECT_EQ(rig.take(0), 0x86u);
  EXPECT_EQ(rig.take(1), 0u);
  EXPECT_EQ(rig.take(2), 0x86u);
  EXPECT_EQ(rig.take(3), 0x86u);
}

TEST_F(IoApicTest, ALevelThatNobodyTakesStaysPendingOnThePin) {
  rig.route(14, 0x85 | kLevel, 9);
  line(true);
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
  rig.write_io(0x11 + 28, 1U << 24);
  EXPECT_TRUE(rig.entry(14) & kRemoteIrr);
  EXPECT_EQ(rig.take(1), 0x85u);
}

TEST_F(IoApicTest, OneCpuOfSeveralIsEnoughToTakeALevel) {
  rig.write(0xf0, 0xff, 3);  // the last refuses vectors
  rig.route(14, 0x85 | kLevel, 0xff);
  line(true);
  EXPECT_TRUE(rig.entry(14) & kRemoteIrr);
  EXPECT_EQ(rig.take(2), 0x85u);
  EXPECT_EQ(rig.take(3), 0u);
}

TEST_F(IoApicTest, TheEoiRegisterEndsAnInterruptThatWasNotBroadcast) {
  rig.write(0xf0, 0x11ff);  // suppress EOI broadcasts
  rig.route(14, 0x83 | kLevel);
  line(true);
  rig.take();
  line(false);
  rig.eoi();
  EXPECT_TRUE(rig.entry(14) & kRemoteIrr);
  test::write32(rig.io_apic, 0x40, 0x84);
  EXPECT_TRUE(rig.entry(14) & kRemoteIrr);
  test::write32(rig.io_apic, 0x40, 0x83);
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
}

TEST_F(IoApicTest, NmiIsAnEdgeWhateverTheTriggerModeSays) {
  rig.route(14, 0x400 | kLevel, 1);
  line(true);
  line(true);
  EXPECT_EQ(rig.cpu(1).nmis, 1);
  EXPECT_FALSE(rig.entry(14) & kRemoteIrr);
}

TEST_F(IoApicTest, ExtIntMakesTheCpuAskThePic) {
  rig.route(0, 0x700);
  line(true, 0);
  EXPECT_EQ(rig.take(), 0x30u);
  EXPECT_EQ(rig.pic.acknowledged, 1);
  EXPECT_EQ(rig.take(), 0u);
}

TEST_F(IoApicTest, OnlyFullWidthAccessesReachTheWindow) {
  test::write32(rig.io_apic, 0, 1);
  EXPECT_EQ(test::read8(rig.io_apic, 0x10), 0);
  test::write8(rig.io_apic, 0, 0x10);
  EXPECT_EQ(test::read32(rig.io_apic, 0), 0x10u);
  test::write8(rig.io_apic, 0x10, 0x55);
  EXPECT_EQ(test::read32(rig.io_apic, 0x10), kMasked);
}

TEST_F(IoApicTest, SavedStateContinuesWithoutMakingEdges) {
  rig.route(14, 0x76);
  rig.route(15, 0x83 | kLevel);
  line(true);
  line(true, 15);
  const auto saved = rig.io_apic.state();
  const IoApicState loaded = vireo::test::saved_and_loaded(saved);

  test::ApicRig other;
  ASSERT_TRUE(other.io_apic.restore(loaded));
  EXPECT_EQ(other.io_apic.state(), rig.io_apic.state());
  other.io_apic.input(14).set_level(true);
  other.io_apic.input(15).set_level(true);
  EXPECT_EQ(other.take(), 0u);
}

TEST_F(IoApicTest, RefusesAStateThatCouldNotExist) {
  IoApicState hostile;
  hostile.redirection[3] = kRemoteIrr;  // edge triggered
  EXPECT_FALSE(rig.io_apic.restore(hostile));
  hostile = {};
  hostile.levels = 1U << 24;
  EXPECT_FALSE(rig.io_apic.restore(hostile));
}

TEST(IrqFanOut, DrivesAllItsInputs) {
  test::FakeLine a;
  test::FakeLine b;
  IrqFanOut wire({&a, &b});
  wire.set_level(true);
  EXPECT_TRUE(a.level && b.level);
  wire.set_level(false);
  EXPECT_FALSE(a.level || b.level);
}

}  // namespace
}  // namespace vireo::devices
