#include "devices/irqchip/local_apic.h"

#include <gtest/gtest.h>

#include "devices/irqchip/apic_test_rig.h"
#include "support/saved_state.h"

namespace vireo::devices {
namespace {

// Offsets as a driver knows them.
constexpr std::uint64_t kId = 0x20, kVersion = 0x30, kTpr = 0x80, kPpr = 0xa0, kLdr = 0xd0;
constexpr std::uint64_t kDfr = 0xe0, kSvr = 0xf0, kIsr = 0x100, kIrr = 0x200, kEsr = 0x280;
constexpr std::uint64_t kLvtTimer = 0x320, kLvtPerf = 0x340, kLint0 = 0x350, kLint1 = 0x360;
constexpr std::uint64_t kLvtError = 0x370;
constexpr std::uint32_t kAssert = 1U << 14, kLogical = 1U << 11, kMasked = 1U << 16;
constexpr std::uint32_t kSelf = 1U << 18, kAll = 2U << 18, kAllButSelf = 3U << 18;
constexpr std::uint32_t kNmi = 4U << 8, kInit = 5U << 8, kStartup = 6U << 8, kExtInt = 7U << 8;
constexpr std::uint32_t kLowest = 1U << 8;

struct LocalApicTest : ::testing::Test {
  test::ApicRig rig{3};
};

TEST_F(LocalApicTest, RegistersHaveTheirPowerUpValues) {
  rig.apic().reset();
  EXPECT_EQ(*rig.apic().read_msr(0x1b), 0xfee00900u);
  EXPECT_EQ(*rig.apic(1).read_msr(0x1b), 0xfee00800u);
  EXPECT_EQ(rig.read(kId, 2), 2U << 24);
  EXPECT_EQ(rig.read(kVersion), 0x01050014u);
  EXPECT_EQ(rig.read(kDfr), 0xffffffffu);
  EXPECT_EQ(rig.read(kSvr), 0xffu);
  for (std::uint64_t lvt = kLvtTimer; lvt <= kLvtError; lvt += 0x10)
    EXPECT_EQ(rig.read(lvt), kMasked);
}

TEST_F(LocalApicTest, VectorsGoFromIrrToIsrAndAreDroppedByEoi) {
  rig.send_ipi(kSelf | 0x41, 0);
  EXPECT_EQ(rig.cpu().interrupts, 1);
  EXPECT_TRUE(rig.bit(kIrr, 0x41));
  EXPECT_EQ(rig.take(), 0x41u);
  EXPECT_FALSE(rig.bit(kIrr, 0x41));
  EXPECT_TRUE(rig.bit(kIsr, 0x41));
  rig.eoi();
  EXPECT_FALSE(rig.bit(kIsr, 0x41));
}

TEST_F(LocalApicTest, HigherClassesInterruptLowerOnes) {
  rig.send_ipi(kSelf | 0x41, 0);
  EXPECT_EQ(rig.take(), 0x41u);
  rig.send_ipi(kSelf | 0x4f, 0);
  EXPECT_EQ(rig.take(), 0u);  // the same class
  rig.send_ipi(kSelf | 0x50, 0);
  EXPECT_EQ(rig.take(), 0x50u);
  rig.eoi();
  EXPECT_EQ(rig.take(), 0u);
  const int before = rig.cpu().interrupts;
  rig.eoi();
  EXPECT_EQ(rig.cpu().interrupts, before + 1);  // told that one became deliverable
  EXPECT_EQ(rig.take(), 0x4fu);
}

TEST_F(LocalApicTest, TheTaskPriorityHoldsItsClassAndLowerOnesBack) {
  rig.apic().write_cr8(5);
  EXPECT_EQ(rig.read(kTpr), 0x50u);
  rig.send_ipi(kSelf | 0x5f, 0);
  EXPECT_FALSE(rig.apic().interrupt_pending());
  rig.write(kTpr, 0x4f);
  EXPECT_EQ(rig.apic().read_cr8(), 4);
  EXPECT_EQ(rig.take(), 0x5fu);
}

TEST_F(LocalApicTest, PprIsTheHigherOfTprAndTheClassInService) {
  rig.write(kTpr, 0x43);
  EXPECT_EQ(rig.read(kPpr), 0x43u);
  rig.send_ipi(kSelf | 0x67, 0);
  rig.take();
  EXPECT_EQ(rig.read(kPpr), 0x60u);
}

TEST_F(LocalApicTest, PhysicalIpisReachTheIdTheyName) {
  rig.send_ipi(0x41, 2);
  EXPECT_EQ(rig.take(0), 0u);
  EXPECT_EQ(rig.take(1), 0u);
  EXPECT_EQ(rig.take(2), 0x41u);
  rig.send_ipi(0x42, 0xff);
  for (unsigned cpu = 0; cpu < 2; ++cpu) EXPECT_EQ(rig.take(cpu), 0x42u);
}

TEST_F(LocalApicTest, IdsOfTheXapicCanBeWrittenAndMayBeShared) {
  rig.write(kId, 7U << 24, 1);
  rig.write(kId, 7U << 24, 2);
  rig.send_ipi(0x41, 7);
  EXPECT_EQ(rig.take(1), 0x41u);
  EXPECT_EQ(rig.take(2), 0x41u);
}

TEST_F(LocalApicTest, ShorthandsNeedNoDestination) {
  rig.send_ipi(kAllButSelf | 0x41, 0);
  rig.send_ipi(kAll | 0x52, 0);
  EXPECT_EQ(rig.take(0), 0x52u);
  EXPECT_EQ(rig.take(1), 0x52u);
  rig.eoi(0);
  rig.eoi(1);
  EXPECT_EQ(rig.take(0), 0u);
  EXPECT_EQ(rig.take(1), 0x41u);
}

TEST_F(LocalApicTest, FlatLogicalDestinationsAreASetOfBits) {
  rig.write(kLdr, 0x02U << 24, 1);
  rig.write(kLdr, 0x04U << 24, 2);
  rig.send_ipi(kLogical | 0x41, 0x86);
  EXPECT_EQ(rig.take(0), 0u);
  EXPECT_EQ(rig.take(1), 0x41u);
  EXPECT_EQ(rig.take(2), 0x41u);
}

TEST_F(LocalApicTest, ClusterLogicalDestinationsAreASetOfBitsInOneCluster) {
  for (unsigned cpu = 0; cpu < 3; ++cpu) rig.write(kDfr, 0x0fffffff, cpu);
  EXPECT_EQ(rig.read(kDfr), 0x0fffffffu);
  rig.write(kLdr, 0x31U << 24, 0);
  rig.write(kLdr, 0x32U << 24, 1);
  rig.write(kLdr, 0x41U << 24, 2);
  rig.send_ipi(kLogical | 0x41, 0x33);
  EXPECT_EQ(rig.take(0), 0x41u);
  EXPECT_EQ(rig.take(1), 0x41u);
  EXPECT_EQ(rig.take(2), 0u);
  rig.send_ipi(kLogical | 0x51, 0xff);
  for (unsigned cpu = 0; cpu < 3; ++cpu) EXPECT_EQ(rig.take(cpu), 0x51u);
}

TEST_F(LocalApicTest, LowestPriorityPicksTheLeastBusyCpu) {
  rig.apic(0).write_cr8(3);
  rig.apic(2).write_cr8(3);
  rig.send_ipi(kLowest | 0x81, 0xff);
  EXPECT_EQ(rig.take(0), 0u);
  EXPECT_EQ(rig.take(2), 0u);
  EXPECT_EQ(rig.take(1), 0x81u);
}

TEST_F(LocalApicTest, EqualPrioritiesTakeTurns) {
  for (int i = 0; i < 3; ++i) rig.send_ipi(kLowest | 0x81, 0xff);
  int taken = 0;
  for (unsigned cpu = 0; cpu < 3; ++cpu) taken += rig.bit(kIrr, 0x81, cpu);
  EXPECT_EQ(taken, 3);
}

TEST_F(LocalApicTest, NmiInitAndStartupReachTheCpu) {
  rig.send_ipi(kNmi, 1);  // the level bit does not matter
  EXPECT_EQ(rig.cpu(1).nmis, 1);
  rig.send_ipi(kInit | kAssert | 0x8000, 1);
  EXPECT_EQ(rig.cpu(1).inits, 1);
  rig.send_ipi(kInit | 0x8000, 1);  // the de-assertion
  EXPECT_EQ(rig.cpu(1).inits, 1);
  rig.send_ipi(kAllButSelf | kStartup | 0x9a, 0);
  EXPECT_EQ(rig.cpu(1).startups, std::vector<std::uint8_t>{0x9a});
  EXPECT_TRUE(rig.cpu(0).startups.empty());
}

TEST_F(LocalApicTest, InitResetsTheRegistersButNotTheIdAndTheMode) {
  rig.write(kId, 9U << 24, 1);
  rig.write(kTpr, 0x50, 1);
  rig.write(kLvtTimer, 0x20040, 1);
  rig.write(0x380, 1000, 1);
  rig.send_ipi(kInit | kAssert, 9);
  EXPECT_EQ(rig.read(kId, 1), 9U << 24);
  EXPECT_EQ(rig.read(kTpr, 1), 0u);
  EXPECT_EQ(rig.read(kSvr, 1), 0xffu);
  EXPECT_EQ(rig.read(0x380, 1), 0u);
  EXPECT_EQ(rig.clock.armed(), 0u);
}

TEST_F(LocalApicTest, SoftwareDisabledItTakesNoVectorsButNmi) {
  rig.write(kLint0, 0x40, 1);
  rig.write(kSvr, 0xff, 1);
  EXPECT_EQ(rig.read(kLint0, 1), kMasked | 0x40);
  rig.write(kLint0, 0x40, 1);  // cannot be unmasked
  EXPECT_EQ(rig.read(kLint0, 1), kMasked | 0x40);
  rig.send_ipi(0x41, 1);
  EXPECT_FALSE(rig.apic(1).interrupt_pending());
  rig.send_ipi(kNmi, 1);
  EXPECT_EQ(rig.cpu(1).nmis, 1);
}

TEST_F(LocalApicTest, WhatWasPendingStaysPendingWhenSoftwareDisables) {
  rig.send_ipi(kSelf | 0x41, 0);
  rig.write(kSvr, 0xff);
  EXPECT_EQ(rig.take(), 0x41u);
}

TEST_F(LocalApicTest, IllegalVectorsAreErrorsOfTheSender) {
  rig.write(kLvtError, 0xfe);
  rig.send_ipi(0x0f, 1);
  EXPECT_EQ(rig.take(1), 0u);
  EXPECT_EQ(rig.read(kEsr), 0u);  // shown once ESR has been written
  rig.write(kEsr, 0);
  EXPECT_EQ(rig.read(kEsr), 0x20u);
  EXPECT_EQ(rig.take(), 0xfeu);
  rig.write(kEsr, 0);
  EXPECT_EQ(rig.read(kEsr), 0u);
}

TEST_F(LocalApicTest, ErrorsInterruptOnceUntilEsrIsWritten) {
  rig.write(kLvtError, 0xfe);
  rig.send_ipi(0x01, 1);
  EXPECT_EQ(rig.take(), 0xfeu);
  rig.eoi();
  rig.send_ipi(0x01, 1);
  EXPECT_EQ(rig.take(), 0u);
  rig.write(kEsr, 0);
  rig.send_ipi(0x01, 1);
  EXPECT_EQ(rig.take(), 0xfeu);
}

TEST_F(LocalApicTest, AMessageWithAnIllegalVectorIsAnErrorOfTheReceiver) {
  rig.bus.send_msi(0xfee01000, 0x05);
  rig.write(kEsr, 0, 1);
  EXPECT_EQ(rig.read(kEsr, 1), 0x40u);
}

TEST_F(LocalApicTest, RegistersThatDoNotExistAreErrors) {
  EXPECT_EQ(rig.read(0x2f0), 0u);  // no CMCI
  rig.write(kEsr, 0);
  EXPECT_EQ(rig.read(kEsr), 0x80u);
  rig.write(kEsr, 0);
  rig.write(0x40, 1);
  rig.write(kEsr, 0);
  EXPECT_EQ(rig.read(kEsr), 0x80u);
}

TEST_F(LocalApicTest, ReservedAndReadOnlyBitsDoNotStick) {
  rig.write(kVersion, 0xffffffff);
  EXPECT_EQ(rig.read(kVersion), 0x01050014u);
  rig.write(kLvtTimer, 0xffffffff);
  EXPECT_EQ(rig.read(kLvtTimer), 0x700ffu);
  rig.write(kLint0, 0xffffffff);
  EXPECT_EQ(rig.read(kLint0), 0x1a7ffu);
  rig.write(0x300, 0xfff00000 | kSelf | 0x1000 | 0x41);
  EXPECT_EQ(rig.read(0x300), kSelf | 0x41);
}

TEST_F(LocalApicTest, ExtIntThroughLint0TakesThePicsVector) {
  rig.write(kLint0, kExtInt);
  rig.apic().lint0().set_level(true);
  EXPECT_TRUE(rig.apic().interrupt_pending());
  rig.apic().write_cr8(15);  // which ExtINT does not heed
  EXPECT_EQ(rig.take(), 0x30u);
  EXPECT_FALSE(rig.bit(kIsr, 0x30));
  rig.apic().lint0().set_level(false);
  EXPECT_FALSE(rig.apic().interrupt_pending());
}

TEST_F(LocalApicTest, ThereIsNothingToAcknowledgeWhenThePicHasThoughtBetterOfIt) {
  rig.write(kLint0, kExtInt);
  rig.apic().lint0().set_level(true);
  rig.pic.vector = std::nullopt;
  EXPECT_FALSE(rig.apic().acknowledge_interrupt());
  rig.apic().lint0().set_level(false);
  EXPECT_FALSE(rig.apic().acknowledge_interrupt());
  EXPECT_EQ(rig.pic.acknowledged, 1);
}

TEST_F(LocalApicTest, ThePicGoesBeforeVectors) {
  rig.write(kLint0, kExtInt);
  rig.send_ipi(kSelf | 0xf1, 0);
  rig.apic().lint0().set_level(true);
  const int before = rig.cpu().interrupts;
  EXPECT_EQ(rig.take(), 0x30u);
  EXPECT_EQ(rig.cpu().interrupts, before + 1);  // told that there is more
  rig.apic().lint0().set_level(false);
  EXPECT_EQ(rig.take(), 0xf1u);
}

TEST_F(LocalApicTest, MaskedLint0HidesThePic) {
  rig.apic().lint0().set_level(true);
  EXPECT_FALSE(rig.apic().interrupt_pending());
  rig.write(kLint0, kExtInt);
  EXPECT_TRUE(rig.apic().interrupt_pending());
}

TEST_F(LocalApicTest, VirtualWireIsWhatFirmwareLeaves) {
  rig.apic().reset();
  rig.apic().set_virtual_wire();
  rig.apic().lint0().set_level(true);
  EXPECT_EQ(rig.take(), 0x30u);
  rig.apic().lint1().set_level(true);
  EXPECT_EQ(rig.cpu().nmis, 1);
  EXPECT_EQ(rig.read(kSvr), 0x1ffu);
  rig.apic(1).reset();
  rig.apic(1).set_virtual_wire();
  rig.apic(1).lint0().set_level(true);
  EXPECT_FALSE(rig.apic(1).interrupt_pending());
}

TEST_F(LocalApicTest, FixedLint0CanBeLevelTriggered) {
  rig.write(kLint0, 0x8000 | 0x61);
  rig.apic().lint0().set_level(true);
  EXPECT_EQ(rig.take(), 0x61u);
  EXPECT_TRUE(rig.read(kLint0) & 0x4000);
  rig.eoi();
  EXPECT_EQ(rig.take(), 0x61u);
  rig.apic().lint0().set_level(false);
  rig.eoi();
  EXPECT_FALSE(rig.read(kLint0) & 0x4000);
  EXPECT_EQ(rig.take(), 0u);
}

TEST_F(LocalApicTest, ALevelOnLint0WaitsForTheUnmaskingAndAnEdgeDoesNot) {
  rig.apic().lint0().set_level(true);
  rig.write(kLint0, 0x61);
  EXPECT_EQ(rig.take(), 0u);
  rig.write(kLint0, 0x8000 | 0x61);
  EXPECT_EQ(rig.take(), 0x61u);
  rig.write(kLint0, 0x61);
  EXPECT_EQ(rig.read(kLint0), 0x61u);  // remote IRR is gone
}

TEST_F(LocalApicTest, Lint1IsAnEdge) {
  rig.write(kLint1, kNmi);
  rig.apic().lint1().set_level(true);
  rig.apic().lint1().set_level(true);
  EXPECT_EQ(rig.cpu().nmis, 1);
}

TEST_F(LocalApicTest, APerformanceInterruptMasksItself) {
  rig.write(kLvtPerf, 0x62);
  rig.apic().performance_interrupt();
  EXPECT_EQ(rig.take(), 0x62u);
  EXPECT_EQ(rig.read(kLvtPerf), kMasked | 0x62);
}

TEST_F(LocalApicTest, MessagesNameACpuAVectorAndAMode) {
  rig.bus.send_msi(0xfee02000, 0x4091);
  EXPECT_EQ(rig.take(2), 0x91u);
  rig.bus.send_msi(0xfee01000, 0x400);
  EXPECT_EQ(rig.cpu(1).nmis, 1);
  rig.write(kLdr, 0x02U << 24, 1);
  rig.bus.send_msi(0xfee0200c, 0x92);  // logical, redirectable
  EXPECT_EQ(rig.take(1), 0x92u);
  rig.bus.send_msi(0xfed02000, 0x93);
  EXPECT_EQ(rig.take(2), 0u);
}

TEST_F(LocalApicTest, RegistersAreTheFirstFourOfSixteenBytes) {
  std::uint64_t wide = 0;
  ASSERT_TRUE(rig.apic().mmio_read(0xfee00030, std::as_writable_bytes(std::span(&wide, 1))));
  EXPECT_EQ(wide, 0x01050014u);
  std::uint8_t byte = 0;
  ASSERT_TRUE(rig.apic().mmio_read(0xfee00032, std::as_writable_bytes(std::span(&byte, 1))));
  EXPECT_EQ(byte, 0x05);
  ASSERT_TRUE(rig.apic().mmio_write(0xfee00080, std::as_bytes(std::span(&byte, 1))));
  EXPECT_EQ(rig.read(kTpr), 0u);
}

TEST_F(LocalApicTest, AddressesOutsideThePageBelongToTheBus) {
  std::uint32_t value = 0;
  const auto bytes = std::as_writable_bytes(std::span(&value, 1));
  EXPECT_FALSE(rig.apic().mmio_read(0xfedffffc, bytes));
  EXPECT_FALSE(rig.apic().mmio_read(0xfee01000, bytes));
}

TEST_F(LocalApicTest, SavedStateContinuesWhereItStopped) {
  rig.send_ipi(kSelf | 0x41, 0);
  rig.take();
  rig.send_ipi(kSelf | 0x51, 0);
  rig.write(kLvtTimer, 0x20060);
  rig.write(0x380, 50'000'000);
  const auto saved = rig.apic().state();
  const LocalApicState loaded = vireo::test::saved_and_loaded(saved);

  test::ApicRig other;
  const int before = other.cpu().interrupts;
  ASSERT_TRUE(other.apic().restore(loaded));
  EXPECT_EQ(other.apic().state(), rig.apic().state());
  EXPECT_EQ(other.cpu().interrupts, before + 1);
  EXPECT_EQ(other.take(), 0x51u);
  other.clock.advance(100'000'000);  // divided by 2
  EXPECT_EQ(other.take(), 0x60u);
}

TEST_F(LocalApicTest, RefusesAStateThatCouldNotExist) {
  auto hostile = rig.apic().state();
  hostile.irr[0] = 1;  // vector 0
  EXPECT_FALSE(rig.apic().restore(hostile));
  hostile = rig.apic().state();
  hostile.base = 0xfee00400;  // x2APIC without being enabled
  EXPECT_FALSE(rig.apic().restore(hostile));
  hostile = rig.apic().state();
  hostile.lvt[0] = 0x80000000;
  EXPECT_FALSE(rig.apic().restore(hostile));
}

}  // namespace
}  // namespace vireo::devices
