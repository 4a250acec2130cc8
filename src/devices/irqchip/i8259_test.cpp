#include "devices/irqchip/i8259.h"

#include <gtest/gtest.h>

#include "devices/irqchip/apic_test_rig.h"
#include "support/saved_state.h"

namespace vireo::devices {
namespace {

using test::read8;
using test::write8;

struct PicTest : ::testing::Test {
  PicTest() { initialize(0x01, 0x01); }

  /// As Linux does: master at 0x30, slave at 0x38.
  void initialize(std::uint8_t master_icw4, std::uint8_t slave_icw4) {
    write8(pic.master_ports(), 0, 0x11);
    write8(pic.master_ports(), 1, 0x30);
    write8(pic.master_ports(), 1, 0x04);
    write8(pic.master_ports(), 1, master_icw4);
    write8(pic.slave_ports(), 0, 0x11);
    write8(pic.slave_ports(), 1, 0x38);
    write8(pic.slave_ports(), 1, 0x02);
    write8(pic.slave_ports(), 1, slave_icw4);
  }
  void raise(unsigned irq) { pic.input(irq).set_level(true); }
  void lower(unsigned irq) { pic.input(irq).set_level(false); }
  void pulse(unsigned irq) { lower(irq), raise(irq); }
  void command(std::uint8_t value) { write8(pic.master_ports(), 0, value); }
  void slave_command(std::uint8_t value) { write8(pic.slave_ports(), 0, value); }
  unsigned take() { return intr.level ? pic.acknowledge().value_or(0) : 0; }
  std::uint8_t in_service() {
    command(0x0b);
    return read8(pic.master_ports(), 0);
  }

  test::FakeLine intr;
  Pic pic{intr};
};

TEST_F(PicTest, AnEdgeGivesOneInterruptHoweverLongTheLineStaysHigh) {
  raise(4);
  EXPECT_EQ(take(), 0x34u);
  command(0x20);
  EXPECT_FALSE(intr.level);
  pulse(4);
  EXPECT_EQ(take(), 0x34u);
}

TEST_F(PicTest, TheSlaveAnswersThroughTheCascade) {
  raise(12);
  EXPECT_EQ(take(), 0x3cu);
  EXPECT_EQ(in_service(), 0x04);
  slave_command(0x20);
  command(0x20);
  EXPECT_EQ(in_service(), 0);
}

TEST_F(PicTest, AnUninitializedPicStaysSilent) {
  test::FakeLine line;
  Pic fresh(line);
  fresh.input(1).set_level(true);
  EXPECT_FALSE(line.level);
  EXPECT_FALSE(fresh.acknowledge());
}

TEST_F(PicTest, LowerNumbersInterruptHigherOnesAndNotTheOtherWayAround) {
  raise(4);
  EXPECT_EQ(take(), 0x34u);
  raise(5);
  EXPECT_EQ(take(), 0u);
  raise(1);
  EXPECT_EQ(take(), 0x31u);
  command(0x20);  // ends 1, the highest
  EXPECT_EQ(in_service(), 0x10);
  command(0x20);
  EXPECT_EQ(take(), 0x35u);
}

TEST_F(PicTest, AMaskedRequestWaits) {
  write8(pic.master_ports(), 1, 0x10);
  raise(4);
  EXPECT_FALSE(intr.level);
  EXPECT_EQ(read8(pic.master_ports(), 0), 0x10);  // IRR
  write8(pic.master_ports(), 1, 0);
  EXPECT_EQ(take(), 0x34u);
}

TEST_F(PicTest, ARequestThatGoesAwayIsSpurious) {
  raise(4);
  lower(4);
  EXPECT_FALSE(intr.level);
  EXPECT_EQ(pic.acknowledge(), 0x37);
  EXPECT_EQ(in_service(), 0);
}

TEST_F(PicTest, ASlaveRequestMaskedAfterTheMasterChoseItIsSpurious15) {
  raise(12);
  PicState state = pic.state();
  state.slave.masked = 0x10;
  // The master has latched the cascade; only now the slave's request disappears.
  state.slave.levels = 0;
  state.slave.edges = 0;
  I8259 slave(I8259::Role::kSlave);
  ASSERT_TRUE(slave.restore(state.slave));
  EXPECT_EQ(slave.vector(slave.acknowledge()), 0x3f);
  EXPECT_EQ(slave.state().in_service, 0);
}

TEST_F(PicTest, LevelTriggeredInputsInterruptUntilTheyAreLow) {
  write8(pic.elcr_ports(), 1, 0x08);  // IRQ 11
  raise(11);
  EXPECT_EQ(take(), 0x3bu);
  slave_command(0x20);
  command(0x20);
  EXPECT_EQ(take(), 0x3bu);
  lower(11);
  slave_command(0x20);
  command(0x20);
  EXPECT_EQ(take(), 0u);
}

TEST_F(PicTest, SystemInputsCannotBeMadeLevelTriggered) {
  write8(pic.elcr_ports(), 0, 0xff);
  write8(pic.elcr_ports(), 1, 0xff);
  EXPECT_EQ(read8(pic.elcr_ports(), 0), 0xf8);
  EXPECT_EQ(read8(pic.elcr_ports(), 1), 0xde);
}

TEST_F(PicTest, AutomaticEoiLeavesNothingInService) {
  initialize(0x03, 0x01);
  raise(4);
  EXPECT_EQ(take(), 0x34u);
  EXPECT_EQ(in_service(), 0);
}

TEST_F(PicTest, AnotherSlaveRequestAfterAnAutomaticEoiIsNotLost) {
  initialize(0x03, 0x03);
  raise(9);
  raise(12);
  EXPECT_EQ(take(), 0x39u);
  EXPECT_EQ(take(), 0x3cu);
  EXPECT_EQ(take(), 0u);
}

TEST_F(PicTest, SpecificEoiEndsTheOneItNames) {
  raise(4);
  take();
  raise(1);
  take();
  command(0x60 | 4);
  EXPECT_EQ(in_service(), 0x02);
}

TEST_F(PicTest, RotatingEoiMakesTheServedInputTheLowest) {
  raise(3);
  take();
  command(0xa0);
  raise(4);
  lower(3);
  raise(3);
  EXPECT_EQ(take(), 0x34u);
}

TEST_F(PicTest, SetPriorityNamesTheLowestInput) {
  command(0xc0 | 4);  // 5 is the highest now
  raise(1);
  raise(5);
  EXPECT_EQ(take(), 0x35u);
}

TEST_F(PicTest, RotationOnAutomaticEoiCanBeSwitched) {
  initialize(0x03, 0x01);
  command(0x80);
  raise(1);
  EXPECT_EQ(take(), 0x31u);
  raise(2 + 1);
  pulse(1);
  EXPECT_EQ(take(), 0x33u);  // 1 is the lowest now
  command(0x00);
  EXPECT_EQ(take(), 0x31u);
  pulse(3);
  pulse(1);
  EXPECT_EQ(pic.state().master.lowest, 3);
}

TEST_F(PicTest, SpecialMaskModeLetsLowerInputsThrough) {
  raise(1);
  take();
  raise(4);
  EXPECT_EQ(take(), 0u);
  command(0x68);  // special mask mode
  write8(pic.master_ports(), 1, 0x02);
  EXPECT_EQ(take(), 0x34u);
  command(0x20);  // a masked input is passed over
  EXPECT_EQ(in_service(), 0x02);
}

TEST_F(PicTest, SpecialFullyNestedModeLetsAHigherSlaveInputThrough) {
  initialize(0x11, 0x01);
  raise(12);
  EXPECT_EQ(take(), 0x3cu);
  raise(9);
  EXPECT_EQ(take(), 0x39u);
}

TEST_F(PicTest, FullyNestedModeHoldsASecondSlaveInputBack) {
  raise(12);
  EXPECT_EQ(take(), 0x3cu);
  raise(9);
  EXPECT_EQ(take(), 0u);
  command(0x20);
  EXPECT_EQ(take(), 0x39u);
}

TEST_F(PicTest, APollIsAnAcknowledge) {
  raise(5);
  command(0x0c);
  EXPECT_EQ(read8(pic.master_ports(), 0), 0x85);
  EXPECT_FALSE(intr.level);
  EXPECT_EQ(in_service(), 0x20);
  command(0x0c);
  EXPECT_EQ(read8(pic.master_ports(), 0) & 0x80, 0);
}

TEST_F(PicTest, InitializationClearsMasksAndForgetsEdges) {
  raise(4);
  write8(pic.master_ports(), 1, 0xff);
  initialize(0x01, 0x01);
  EXPECT_EQ(read8(pic.master_ports(), 1), 0);
  EXPECT_FALSE(intr.level);
}

TEST_F(PicTest, OneByteInitializationNeedsNoThirdAndFourthWord) {
  write8(pic.master_ports(), 0, 0x12);  // single, no ICW4
  write8(pic.master_ports(), 1, 0x70);
  write8(pic.master_ports(), 1, 0xfe);  // OCW1
  EXPECT_EQ(read8(pic.master_ports(), 1), 0xfe);
  raise(0);
  EXPECT_EQ(take(), 0x70u);
}

TEST_F(PicTest, SavedStateContinuesWithoutMakingEdges) {
  raise(4);
  take();
  const auto saved = pic.state();
  const PicState loaded = vireo::test::saved_and_loaded(saved);

  test::FakeLine line;
  Pic other(line);
  ASSERT_TRUE(other.restore(loaded));
  EXPECT_EQ(other.state(), pic.state());
  write8(other.master_ports(), 0, 0x20);
  other.input(4).set_level(true);  // the device says again what it said before
  EXPECT_FALSE(line.level);
}

TEST_F(PicTest, ResetSilencesBothChips) {
  raise(12);
  pic.reset();
  EXPECT_FALSE(intr.level);
  I8259State slave;
  slave.levels = 0x10;  // the pin is the device's
  EXPECT_EQ(pic.state().slave, slave);
}

TEST_F(PicTest, RestoreDrivesIntr) {
  raise(4);
  test::FakeLine line;
  Pic other(line);
  ASSERT_TRUE(other.restore(pic.state()));
  EXPECT_TRUE(line.level);
}

TEST_F(PicTest, RefusesAStateThatCouldNotExist) {
  PicState hostile = pic.state();
  hostile.slave.lowest = 8;
  EXPECT_FALSE(pic.restore(hostile));
  hostile = pic.state();
  hostile.master.vector_base = 3;
  EXPECT_FALSE(pic.restore(hostile));
}

}  // namespace
}  // namespace vireo::devices
