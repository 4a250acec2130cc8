#include "x86/delivery/long_mode_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/delivery_world.h"
#include "x86/delivery/interrupt_delivery.h"

namespace vireo::x86 {
namespace {

using ::testing::ElementsAre;
using W = DeliveryWorld;

constexpr std::uint64_t kFlags = rflags::kFixed1 | rflags::kIf | rflags::kCf;

TEST(LongModeInterrupt, FromUserModeTheStackComesFromRsp0AndSsIsNull) {
  DeliveryWorld world;
  world.enter_long(3);
  world.state.rflags = kFlags;
  world.set_gate64(14, W::gate(0x8e, W::kCode64, W::kHandler));
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kPF, 6, 0xffff800000000000}),
            DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.cr2, 0xffff800000000000u);
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_FALSE(world.state.segment[kSs].usable());
  EXPECT_EQ(world.state.segment[kSs].selector, 0u);
  // RSP0 is not aligned: the frame is.
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 - 48);
  EXPECT_THAT(world.stack<std::uint64_t>(6),
              ElementsAre(6, W::kProgram, W::kCode64User | 3, kFlags | rflags::kRf, W::kStack3,
                          W::kData3 | 3));
}

TEST(LongModeInterrupt, WithoutErrorCodeTheFrameEndsOnABoundaryOf8) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.gpr[kRsp] = 0x8015;
  world.set_gate64(0x20, W::gate(0x8e, W::kCode64, W::kHandler));
  EXPECT_OK(world.interrupt(0x20));
  EXPECT_EQ(world.state.gpr[kRsp], 0x8010u - 40);
  EXPECT_THAT(world.stack<std::uint64_t>(5),
              ElementsAre(W::kProgram, W::kCode64, 2, 0x8015, W::kData0));
  EXPECT_EQ(world.state.segment[kSs].selector, W::kData0);  // no change of level
}

TEST(LongModeInterrupt, AnInterruptStackIsUsedAtAnyLevel) {
  DeliveryWorld world;
  world.enter_long(0);
  world.set_gate64(2, W::gate(0x8e, W::kCode64, W::kHandler, 1));
  EXPECT_OK(deliver_event(world.state, world.port, Event::nmi()));
  EXPECT_EQ(world.state.gpr[kRsp], (W::kIst1 & ~0xfull) - 40);
  EXPECT_EQ(world.state.nmi_blocked, 1);
}

TEST(LongModeInterrupt, HandlersAre64BitCode) {
  DeliveryWorld world;
  world.enter_long(0);
  world.set_gate64(0x20, W::gate(0x8e, W::kCode0, W::kHandler));
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, W::kCode0 | 1);
  world.set_gate64(0x20, W::gate(0x86, W::kCode64, W::kHandler));
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, 0x20 * 8 + 3);
}

TEST(LongModeInterrupt, NonCanonicalStacksAndHandlersFault) {
  DeliveryWorld world;
  world.enter_long(3);
  world.set_gate64(0x20, W::gate(0x8e, W::kCode64, W::kHandler));
  world.port.poke<std::uint64_t>(W::kTssBase + 4, 0x8000'0000'0000'0000);
  EXPECT_FAULT(world.interrupt(0x20), Vector::kSS, 1);
  world.set_gate64(0x20, W::gate(0x8e, W::kCode64, W::kHandler), 0x12345678);
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, 1);
}

TEST(LongModeInterrupt, CompatibilityModeIsInterruptedInto64BitCode) {
  DeliveryWorld world;
  world.enter_long(3, false);
  world.set_gate64(0x80, W::gate(0xee, W::kCode64, W::kHandler));
  EXPECT_OK(world.run({0xcd, 0x80}));
  EXPECT_TRUE(world.state.code64());
  EXPECT_THAT(world.stack<std::uint64_t>(5),
              ElementsAre(W::kProgram + 2, W::kCode3 | 3, 2, W::kStack3, W::kData3 | 3));
}

TEST(LongModeInterrupt, TheWholeGateHasToBeInTheTable) {
  DeliveryWorld world;
  world.enter_long(0);
  world.set_gate64(0x20, W::gate(0x8e, W::kCode64, W::kHandler));
  world.state.idtr.limit = 0x20 * 16 + 14;
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, 0x20 * 8 + 3);
  world.state.idtr.limit += 1;
  EXPECT_OK(world.interrupt(0x20));
}

TEST(LongModeInterrupt, MarksTheHandlersSegmentAndClearsFlags) {
  DeliveryWorld world;
  world.enter_long(0);
  world.set_gdt(W::kFree, 0x00af9a000000ffff);
  world.set_gate64(0x20, W::gate(0x8f, W::kFree, W::kHandler));
  world.state.rflags = kFlags | rflags::kTf | rflags::kNt | rflags::kRf | rflags::kAc;
  EXPECT_OK(world.interrupt(0x20));
  EXPECT_EQ(world.gdt(W::kFree), 0x00af9b000000ffffu);
  EXPECT_EQ(world.state.rflags, kFlags | rflags::kAc);
}

TEST(LongModeInterrupt, FlawsOfTheHandlersSegmentFault) {
  DeliveryWorld world;
  world.enter_long(0);
  world.set_gdt(W::kFree, 0x00ef9b000000ffff);      // L and D
  world.set_gdt(W::kFree + 8, 0x00af1b000000ffff);  // not present
  for (const std::uint16_t selector : {W::kFree, W::kCode64User}) {
    world.set_gate64(0x20, W::gate(0x8e, selector, W::kHandler));
    EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, selector | 1u);
  }
  world.set_gate64(0x20, W::gate(0x8e, W::kFree + 8, W::kHandler));
  EXPECT_FAULT(world.interrupt(0x20), Vector::kNP, (W::kFree + 8) | 1);
  world.set_gate64(0x20, W::gate(0x8e, 0, W::kHandler));
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, 1);
  world.set_gate64(0x20, W::gate(0x0e, W::kCode64, W::kHandler));
  EXPECT_FAULT(world.interrupt(0x20), Vector::kNP, 0x20 * 8 + 3);
}

TEST(LongModeInterrupt, Level1HasItsOwnStack) {
  DeliveryWorld world;
  world.enter_long(3);
  world.set_gdt(W::kFree, 0x00afbb000000ffff);
  world.set_gate64(0x20, W::gate(0x8e, W::kFree | 1, W::kHandler));
  EXPECT_OK(world.interrupt(0x20));
  EXPECT_EQ(world.state.cpl(), 1u);
  EXPECT_EQ(world.state.segment[kSs].selector, 1u);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack1 - 40);
}

}  // namespace
}  // namespace vireo::x86
