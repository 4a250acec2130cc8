#include "x86/delivery/interrupt_delivery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/delivery_world.h"

namespace vireo::x86 {
namespace {

using ::testing::ElementsAre;
using W = DeliveryWorld;

constexpr std::uint64_t kFlags = rflags::kFixed1 | rflags::kIf | rflags::kCf;

TEST(RealModeInterrupt, PushesFlagsCsAndIpAndMasksInterrupts) {
  DeliveryWorld world;
  world.enter_real();
  world.state.rflags = kFlags | rflags::kTf | rflags::kAc;
  world.port.poke<std::uint32_t>(0x21 * 4, 0x0400'1234);
  EXPECT_OK(deliver_event(world.state, world.port, Event::software_interrupt(0x21)));
  EXPECT_EQ(world.state.rip, 0x1234u);
  EXPECT_EQ(world.state.segment[kCs].selector, 0x400u);
  EXPECT_EQ(world.state.segment[kCs].base, 0x4000u);
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kCf);
  EXPECT_EQ(world.state.gpr[kRsp], 0x7ffau);
  EXPECT_THAT(world.stack<std::uint16_t>(3), ElementsAre(0x100, 0x200, 0x303));
}

TEST(RealModeInterrupt, NoErrorCodeIsPushed) {
  DeliveryWorld world;
  world.enter_real();
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kGP, 0}), DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.gpr[kRsp], 0x7ffau);
}

TEST(RealModeInterrupt, ATableTooShortForEverythingShutsTheCpuDown) {
  DeliveryWorld world;
  world.enter_real();
  world.state.idtr.limit = 0;
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kUD}), DeliveryOutcome::kTripleFault);
  EXPECT_EQ(world.state.activity, static_cast<std::uint8_t>(Activity::kShutdown));
}

TEST(ProtectedInterrupt, AtTheSameLevelTheStackStays) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.rflags = kFlags | rflags::kNt;
  world.set_gate(0x30, W::gate(0x8e, W::kCode0, W::kHandler));
  EXPECT_OK(world.interrupt(0x30));
  EXPECT_EQ(world.state.rip, W::kHandler);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 - 12);
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kCf);
  EXPECT_THAT(world.stack<std::uint32_t>(3),
              ElementsAre(W::kProgram, W::kCode0, kFlags | rflags::kNt));
  EXPECT_GT(world.port.mode_changes, 0u);
}

TEST(ProtectedInterrupt, ATrapGateLeavesInterruptsEnabled) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.rflags = kFlags;
  world.set_gate(0x30, W::gate(0x8f, W::kCode0, W::kHandler));
  EXPECT_OK(world.interrupt(0x30));
  EXPECT_EQ(world.state.rflags, kFlags);
}

TEST(ProtectedInterrupt, A16BitGatePushesWords) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(0x30, W::gate(0x86, W::kCode0, 0xffff6000));
  EXPECT_OK(world.interrupt(0x30));
  EXPECT_EQ(world.state.rip, 0x6000u);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 - 6);
  EXPECT_THAT(world.stack<std::uint16_t>(3), ElementsAre(W::kProgram, W::kCode0, 2));
}

TEST(ProtectedInterrupt, FromAnOuterLevelTheStackComesFromTheTss) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.state.rflags = kFlags;
  world.set_gate(14, W::gate(0x8e, W::kCode0, W::kHandler));
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kPF, 5, 0xdead000}),
            DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.cr2, 0xdead000u);
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_EQ(world.state.segment[kCs].selector, W::kCode0);
  EXPECT_EQ(world.state.segment[kSs].selector, W::kData0);
  EXPECT_THAT(
      world.stack<std::uint32_t>(6),
      ElementsAre(5, W::kProgram, W::kCode3 | 3, kFlags | rflags::kRf, W::kStack3, W::kData3 | 3));
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 - 24);
}

TEST(ProtectedInterrupt, AConformingHandlerRunsAtTheLevelOfTheProgram) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gate(0x30, W::gate(0xee, W::kConforming0, W::kHandler));
  EXPECT_OK(deliver_event(world.state, world.port, Event::software_interrupt(0x30)));
  EXPECT_EQ(world.state.cpl(), 3u);
  EXPECT_EQ(world.state.segment[kCs].selector, W::kConforming0 | 3);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3 - 12);
}

TEST(ProtectedInterrupt, SoftwareMayUseOnlyGatesOfItsLevel) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gate(3, W::gate(0x8e, W::kCode0, W::kHandler));
  world.set_gate(1, W::gate(0x8e, W::kCode0, W::kHandler));
  const CpuState before = world.state;
  EXPECT_FAULT(world.run({0xcd, 3}), Vector::kGP, 3 * 8 + 2);
  EXPECT_FAULT(world.run({0xcc}), Vector::kGP, 3 * 8 + 2);
  EXPECT_EQ(world.state, before);
  EXPECT_OK(world.run({0xf1}));  // INT1 is like a hardware event
  EXPECT_EQ(world.state.cpl(), 0u);
}

TEST(ProtectedInterrupt, SoftwareInterruptsPushTheNextInstruction) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gate(0x80, W::gate(0xee, W::kCode0, W::kHandler));
  EXPECT_OK(world.run({0xcd, 0x80}));
  EXPECT_EQ(world.stack<std::uint32_t>(1)[0], W::kProgram + 2);
}

TEST(ProtectedInterrupt, IntoDependsOnTheOverflowFlag) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gate(4, W::gate(0xee, W::kCode0, W::kHandler));
  EXPECT_OK(world.run({0xce}));
  EXPECT_EQ(world.state.rip, W::kProgram + 1);
  world.state.rflags |= rflags::kOf;
  EXPECT_OK(world.run({0xce}));
  EXPECT_EQ(world.state.rip, W::kHandler);
}

struct BadGate {
  std::uint64_t gate;
  Vector vector;
  std::uint32_t error_code;
};

TEST(ProtectedInterrupt, EveryFlawOfAGateHasItsFault) {
  const BadGate cases[] = {
      {W::gate(0x82, W::kCode0, 0), Vector::kGP, 0x30 * 8 + 3},       // an LDT
      {W::gate(0x8c, W::kCode0, 0), Vector::kGP, 0x30 * 8 + 3},       // a call gate
      {W::gate(0x0e, W::kCode0, 0), Vector::kNP, 0x30 * 8 + 3},       // not present
      {W::gate(0x8e, 0, 0), Vector::kGP, 1},                          // null
      {W::gate(0x8e, 0x7fff, 0), Vector::kGP, 0x7ffd},                // outside (LDT)
      {W::gate(0x8e, W::kData0, 0), Vector::kGP, W::kData0 | 1},      // not code
      {W::gate(0x8e, W::kCode3 | 3, 0), Vector::kGP, W::kCode3 | 1},  // less privileged
      {W::gate(0x8e, W::kFree, 0), Vector::kNP, W::kFree | 1},        // code not present
      {W::gate(0x8e, W::kFree + 8, 0x10000), Vector::kGP, 1},         // EIP outside
  };
  for (const BadGate& bad : cases) {
    DeliveryWorld world;
    world.enter_protected(0);
    world.set_gdt(W::kFree, 0x00cf1b000000ffff);
    world.set_gdt(W::kFree + 8, 0x00409b000000ffff);
    world.set_gate(0x30, bad.gate);
    const CpuState before = world.state;
    EXPECT_FAULT(world.interrupt(0x30), bad.vector, bad.error_code);
    EXPECT_EQ(world.state, before);
  }
}

TEST(ProtectedInterrupt, EveryFlawOfTheInnerStackHasItsFault) {
  struct Case {
    std::uint16_t selector;
    Vector vector;
    std::uint32_t error_code;
  };
  const Case cases[] = {
      {0, Vector::kTS, 1},
      {W::kData0 | 1, Vector::kTS, W::kData0 | 1},
      {W::kData3, Vector::kTS, W::kData3 | 1},
      {W::kCode0, Vector::kTS, W::kCode0 | 1},
      {W::kFree, Vector::kSS, W::kFree | 1},
      {0x100, Vector::kTS, 0x101},
      {W::kFree + 8, Vector::kSS, (W::kFree + 8) | 1},  // no room
  };
  for (const Case& bad : cases) {
    DeliveryWorld world;
    world.enter_protected(3);
    world.set_gdt(W::kFree, 0x00cf13000000ffff);
    world.set_gdt(W::kFree + 8, 0x0040930000000fff);
    world.set_gate(0x30, W::gate(0x8e, W::kCode0, W::kHandler));
    world.port.poke(W::kTssBase + 8, bad.selector);
    const CpuState before = world.state;
    EXPECT_FAULT(world.interrupt(0x30), bad.vector, bad.error_code);
    EXPECT_EQ(world.state, before);
  }
}

TEST(ProtectedInterrupt, AStackPointerBehindTheTssIsAnInvalidTss) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gate(0x30, W::gate(0xee, W::kCode0, W::kHandler));
  world.state.tr.limit = 8;
  EXPECT_FAULT(world.run({0xcd, 0x30}), Vector::kTS, W::kTss);
}

TEST(ProtectedInterrupt, A16BitTssGives16BitStacks) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.state.tr.access = 0x83;
  world.port.poke<std::uint16_t>(W::kTssBase + 2, W::kStack0);
  world.port.poke<std::uint16_t>(W::kTssBase + 4, W::kData0);
  world.set_gate(0x30, W::gate(0xee, W::kCode0, W::kHandler));
  EXPECT_OK(world.run({0xcd, 0x30}));
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 - 20);
}

TEST(Virtual8086Interrupt, LeavesForRing0WithAllSegmentsOnTheStack) {
  DeliveryWorld world;
  world.enter_virtual8086(3);
  world.set_gate(0x21, W::gate(0xee, W::kCode0, W::kHandler));
  const std::uint64_t flags = world.state.rflags;
  EXPECT_OK(world.run({0xcd, 0x21}));
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_FALSE(world.state.virtual8086());
  EXPECT_FALSE(world.state.segment[kDs].usable());
  EXPECT_EQ(world.state.segment[kGs].selector, 0u);
  EXPECT_THAT(world.stack<std::uint32_t>(9),
              ElementsAre(0x102, 0x200, flags, 0x8000, 0x300, 0x100, 0x400, 0x500, 0x600));
}

TEST(Virtual8086Interrupt, IntNeedsIopl3ButInt3DoesNot) {
  DeliveryWorld world;
  world.enter_virtual8086(0);
  world.set_gate(3, W::gate(0xee, W::kCode0, W::kHandler));
  EXPECT_FAULT(world.run({0xcd, 3}), Vector::kGP, 0);
  EXPECT_OK(world.run({0xcc}));
  EXPECT_EQ(world.state.rip, W::kHandler);
}

TEST(Virtual8086Interrupt, TheHandlerHasToBeInRing0) {
  DeliveryWorld world;
  world.enter_virtual8086(3);
  world.set_gate(0x21, W::gate(0xee, W::kCode1, W::kHandler));
  EXPECT_FAULT(world.run({0xcd, 0x21}), Vector::kGP, W::kCode1);
  world.set_gate(0x21, W::gate(0xee, W::kConforming0, W::kHandler));
  EXPECT_FAULT(world.run({0xcd, 0x21}), Vector::kGP, W::kConforming0);
}

/// Virtual-8086 mode with CR4.VME; the redirection bitmap is all zero.
DeliveryWorld vme_world(unsigned iopl) {
  DeliveryWorld world;
  world.enter_virtual8086(iopl);
  world.state.cr4 |= cr4::kVme;
  world.port.poke<std::uint16_t>(W::kTssBase + 102, 0x88);
  world.port.poke<std::uint32_t>(0x21 * 4, 0x0700'0040);
  return world;
}

TEST(VirtualInterrupts, ARedirectedIntStaysInThe8086Program) {
  DeliveryWorld world = vme_world(3);
  world.state.rflags |= rflags::kIf;
  EXPECT_OK(world.run({0xcd, 0x21}));
  EXPECT_TRUE(world.state.virtual8086());
  EXPECT_EQ(world.state.rip, 0x40u);
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x700, 0xf3, 0xffff, 0x7000}));
  EXPECT_EQ(world.state.rflags & rflags::kIf, 0u);
  EXPECT_THAT(world.stack<std::uint16_t>(3), ElementsAre(0x102, 0x200, 0x3202));
}

TEST(VirtualInterrupts, WithoutIoplTheVirtualFlagIsPushedAndCleared) {
  DeliveryWorld world = vme_world(0);
  world.state.rflags |= rflags::kIf | rflags::kVif;
  EXPECT_OK(world.run({0xcd, 0x21}));
  EXPECT_EQ(world.state.rflags & (rflags::kIf | rflags::kVif), rflags::kIf);
  EXPECT_THAT(world.stack<std::uint16_t>(3), ElementsAre(0x102, 0x200, 0x3202));
}

TEST(VirtualInterrupts, ASetRedirectionBitMeansTheMonitor) {
  DeliveryWorld world = vme_world(0);
  world.port.poke<std::uint8_t>(W::kTssBase + 0x68 + 0x21 / 8, 1u << (0x21 % 8));
  EXPECT_FAULT(world.run({0xcd, 0x21}), Vector::kGP, 0);
  world.state.rflags |= rflags::kIopl;
  world.set_gate(0x21, W::gate(0xee, W::kCode0, W::kHandler));
  EXPECT_OK(world.run({0xcd, 0x21}));
  EXPECT_EQ(world.state.cpl(), 0u);
}

TEST(Delivery, EndsShadowsAndHalts) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(0x30, W::gate(0x8e, W::kCode0, W::kHandler));
  world.state.sti_shadow = world.state.mov_ss_shadow = 1;
  world.state.activity = static_cast<std::uint8_t>(Activity::kHalted);
  EXPECT_OK(world.interrupt(0x30));
  EXPECT_EQ(world.state.sti_shadow + world.state.mov_ss_shadow, 0);
  EXPECT_EQ(world.state.activity, static_cast<std::uint8_t>(Activity::kRunning));
}

TEST(Delivery, ADebugExceptionSaysWhyInDr6AndDropsGeneralDetect) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(1, W::gate(0x8e, W::kCode0, W::kHandler));
  world.state.dr6 = dr6::kFixed1 | 2;
  world.state.dr7 |= dr7::kGd;
  world.state.msr.debug_ctl = 3;
  deliver_fault(world.state, world.port, {Vector::kDB, 0, 0, dr6::kBs});
  EXPECT_EQ(world.state.dr6, dr6::kFixed1 | dr6::kBs);
  EXPECT_EQ(world.state.dr7 & dr7::kGd, 0u);
  EXPECT_EQ(world.state.msr.debug_ctl, 0u);
  EXPECT_EQ(world.stack<std::uint32_t>(3)[2] & rflags::kRf, 0u);  // a trap
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 - 12);
}

TEST(Delivery, GeneralDetectIsAFaultAndPushesRf) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(1, W::gate(0x8e, W::kCode0, W::kHandler));
  deliver_fault(world.state, world.port, {Vector::kDB, 0, 0, dr6::kBd});
  EXPECT_NE(world.stack<std::uint32_t>(3)[2] & rflags::kRf, 0u);
}

// The vectors that are delivered in the end when one fault comes up in the delivery of another.

TEST(DoubleFault, TwoContributoryFaultsMakeOne) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(8, W::gate(0x8e, W::kCode0, W::kHandler));  // and no gate for #NP
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kNP, 8}), DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.rip, W::kHandler);
  EXPECT_EQ(world.stack<std::uint32_t>(1)[0], 0u);
}

TEST(DoubleFault, ABenignFaultFirstIsForgotten) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(13, W::gate(0x8e, W::kCode0, W::kHandler));  // and no gate for #UD
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kUD}), DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.rip, W::kHandler);
  EXPECT_EQ(world.stack<std::uint32_t>(1)[0], 6u * 8 + 3);
}

TEST(DoubleFault, APageFaultInTheDeliveryOfAContributoryFaultIsDelivered) {
  DeliveryWorld world;
  world.enter_long(3);
  world.port.poke<std::uint64_t>(W::kTssBase + 4, 0x1ff000);  // there is no memory
  world.set_gate64(13, W::gate(0x8e, W::kCode64, W::kHandler));
  world.set_gate64(14, W::gate(0x8e, W::kCode64, W::kHandler + 1, 1));
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kGP, 0}), DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.rip, W::kHandler + 1);
  EXPECT_EQ(world.state.cr2, 0x1ff000u - 8);
}

TEST(DoubleFault, APageFaultInTheDeliveryOfAPageFaultMakesOne) {
  DeliveryWorld world;
  world.enter_long(3);
  world.port.poke<std::uint64_t>(W::kTssBase + 4, 0x1ff000);
  world.set_gate64(14, W::gate(0x8e, W::kCode64, W::kHandler));
  world.set_gate64(8, W::gate(0x8e, W::kCode64, W::kHandler + 2, 1));
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kPF, 4, 0x5000}),
            DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.rip, W::kHandler + 2);
  EXPECT_EQ(world.state.cr2, 0x1ff000u - 8);
}

TEST(DoubleFault, AFaultInItsDeliveryShutsTheCpuDown) {
  DeliveryWorld world;
  world.enter_protected(0);
  const CpuState before = world.state;
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kGP, 0}),
            DeliveryOutcome::kTripleFault);
  EXPECT_EQ(world.state.rip, before.rip);
  EXPECT_EQ(world.state.gpr, before.gpr);
  EXPECT_EQ(world.state.segment, before.segment);
}

TEST(Delivery, AFaultThatWasNotTheProgramsDoingSaysSo) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(11, W::gate(0x8e, W::kCode0, W::kHandler));
  deliver_fault(world.state, world.port, {Vector::kNP, 0x40}, true);
  EXPECT_EQ(world.stack<std::uint32_t>(1)[0], 0x41u);
}

TEST(DoubleFault, InterruptsAreBenignWhateverTheirVector) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(13, W::gate(0x8e, W::kCode0, W::kHandler));
  EXPECT_EQ(deliver(world.state, world.port, Event::external_interrupt(14)),
            DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.rip, W::kHandler);
  EXPECT_EQ(world.stack<std::uint32_t>(1)[0], 14u * 8 + 3);
}

TEST(RealModeInterrupt, TheWholeVectorHasToBeInTheTable) {
  DeliveryWorld world;
  world.enter_real();
  world.state.idtr.limit = 0x20 * 4 + 3;
  EXPECT_OK(world.interrupt(0x20));
  world.state.idtr.limit -= 1;
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, 0x20 * 8 + 3);
  world.state.idtr.limit = 2;
  EXPECT_FAULT(world.interrupt(0), Vector::kGP, 3);
}

TEST(ProtectedInterrupt, TheWholeGateHasToBeInTheTable) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(0x20, W::gate(0x8e, W::kCode0, W::kHandler));
  world.state.idtr.limit = 0x20 * 8 + 6;
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, 0x20 * 8 + 3);
  world.state.idtr.limit += 1;
  EXPECT_OK(world.interrupt(0x20));
}

TEST(ProtectedInterrupt, MarksTheHandlersSegmentAndItsStackAccessed) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gdt(W::kCode0, 0x00cf9a000000ffff);
  world.set_gdt(W::kData0, 0x00cf92000000ffff);
  world.set_gate(0x20, W::gate(0x8e, W::kCode0, W::kHandler));
  EXPECT_OK(world.interrupt(0x20));
  EXPECT_EQ(world.gdt(W::kCode0), 0x00cf9b000000ffffu);
  EXPECT_EQ(world.gdt(W::kData0), 0x00cf93000000ffffu);
}

TEST(ProtectedInterrupt, AnExpandDownStackEndsAboveItsLimit) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gate(0x20, W::gate(0x8e, W::kCode0, W::kHandler));
  world.state.segment[kSs] = Segment{W::kData0, 0x4097, 0x7ff3, 0};
  EXPECT_OK(world.interrupt(0x20));
  world.state.gpr[kRsp] = W::kStack0;
  world.state.segment[kSs].limit = 0x7ff4;  // the last push would be at 0x7ff4
  EXPECT_FAULT(world.interrupt(0x20), Vector::kSS, 0);
}

}  // namespace
}  // namespace vireo::x86
