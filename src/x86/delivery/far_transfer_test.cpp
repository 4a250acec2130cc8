#include "x86/delivery/far_transfer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/delivery_world.h"

namespace vireo::x86 {
namespace {

using ::testing::ElementsAre;
using W = DeliveryWorld;

constexpr std::uint8_t lo(std::uint16_t selector) { return static_cast<std::uint8_t>(selector); }

/// JMP and CALL ptr16:32 to 0x6000.
OrFault<> jump(DeliveryWorld& world, std::uint16_t selector) {
  return world.run({0xea, 0x00, 0x60, 0, 0, lo(selector), 0});
}
OrFault<> call(DeliveryWorld& world, std::uint16_t selector) {
  return world.run({0x9a, 0x00, 0x60, 0, 0, lo(selector), 0});
}

TEST(FarJump, InRealModeLoadsTheBaseFromTheSelector) {
  DeliveryWorld world;
  world.enter_real();
  EXPECT_OK(world.run({0xea, 0x34, 0x12, 0x78, 0x56}));
  EXPECT_EQ(world.state.rip, 0x1234u);
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x5678, 0x9b, 0xffff, 0x56780}));
}

TEST(FarJump, AfterEnteringProtectedModeLoadsADescriptor) {
  DeliveryWorld world;
  world.enter_real();
  world.state.cr0 |= cr0::kPe;  // SS.DPL stays 0: so does the CPL
  EXPECT_OK(world.run({0x66, 0xea, 0x00, 0x60, 0, 0, W::kCode0, 0}));
  EXPECT_EQ(world.state.segment[kCs], world.from_gdt(W::kCode0));
  EXPECT_EQ(world.state.rip, 0x6000u);
  EXPECT_GT(world.port.mode_changes, 0u);
}

TEST(FarJump, MarksTheSegmentAccessed) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gdt(W::kFree, 0x00cf9a000000ffff);
  EXPECT_OK(jump(world, W::kFree));
  EXPECT_EQ(world.gdt(W::kFree), 0x00cf9b000000ffffu);
}

TEST(FarJump, KeepsThePrivilegeLevel) {
  DeliveryWorld world;
  world.enter_protected(3);
  EXPECT_FAULT(jump(world, W::kCode0), Vector::kGP, W::kCode0);
  EXPECT_FAULT(jump(world, W::kCode1 | 1), Vector::kGP, W::kCode1);
  EXPECT_OK(jump(world, W::kCode3));  // the RPL may be lower
  EXPECT_EQ(world.state.segment[kCs].selector, W::kCode3 | 3);
  EXPECT_OK(jump(world, W::kConforming0));
  EXPECT_EQ(world.state.segment[kCs].selector, W::kConforming0 | 3);
  EXPECT_EQ(world.state.cpl(), 3u);
  world.enter_protected(0);
  EXPECT_FAULT(jump(world, W::kCode0 | 3), Vector::kGP, W::kCode0);  // nor higher
}

TEST(FarJump, FlawsOfTheTargetFault) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gdt(W::kFree, 0x00cf1b000000ffff);      // not present
  world.set_gdt(W::kFree + 8, 0x00409b0000005fff);  // ends before the offset
  const CpuState before = world.state;
  EXPECT_FAULT(jump(world, 0), Vector::kGP, 0);
  EXPECT_FAULT(jump(world, W::kData0), Vector::kGP, W::kData0);
  EXPECT_FAULT(jump(world, 0xff), Vector::kGP, 0xfc);
  EXPECT_FAULT(jump(world, W::kFree), Vector::kNP, W::kFree);
  EXPECT_FAULT(jump(world, W::kFree + 8), Vector::kGP, 0);
  EXPECT_FAULT(jump(world, W::kLdt), Vector::kGP, W::kLdt);
  EXPECT_EQ(world.state, before);
}

TEST(FarJump, ThroughMemoryEnters64BitCode) {
  DeliveryWorld world;
  world.enter_long(0, false);
  world.port.poke<std::uint32_t>(0x7800, 0x6000);
  world.port.poke<std::uint16_t>(0x7804, W::kCode64);
  EXPECT_OK(world.run({0xff, 0x2d, 0x00, 0x78, 0, 0}));
  EXPECT_TRUE(world.state.code64());
  EXPECT_EQ(world.state.rip, 0x6000u);
}

TEST(FarJump, LongAndBigTogetherAreReservedInLongMode) {
  DeliveryWorld world;
  world.set_gdt(W::kFree, 0x00ef9b000000ffff);
  world.enter_protected(0);
  EXPECT_OK(jump(world, W::kFree));
  world.enter_long(0, false);
  EXPECT_FAULT(jump(world, W::kFree), Vector::kGP, W::kFree);
}

TEST(FarJump, A64BitTargetHasToBeCanonical) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.gpr[kRax] = 0x7800;
  world.port.poke<std::uint64_t>(0x7800, 0x0000'8000'0000'0000);
  world.port.poke<std::uint16_t>(0x7808, W::kCode64);
  EXPECT_FAULT(world.run({0x48, 0xff, 0x28}), Vector::kGP, 0);
  world.port.poke<std::uint64_t>(0x7800, 0xffff'8000'0000'0000);
  EXPECT_OK(world.run({0x48, 0xff, 0x28}));
  EXPECT_EQ(world.state.rip, 0xffff'8000'0000'0000u);
}

TEST(FarCall, AndReturnInRealMode) {
  DeliveryWorld world;
  world.enter_real();
  EXPECT_OK(world.run({0x9a, 0x34, 0x12, 0x78, 0x56}));
  EXPECT_THAT(world.stack<std::uint16_t>(2), ElementsAre(0x105, 0x200));
  EXPECT_OK(world.run({0xca, 6, 0}));
  EXPECT_EQ(world.state.rip, 0x105u);
  EXPECT_EQ(world.state.segment[kCs].base, 0x2000u);
  EXPECT_EQ(world.state.gpr[kRsp], 0x8006u);
}

TEST(FarCall, PushesTheReturnAddressOnceNothingCanFail) {
  DeliveryWorld world;
  world.enter_protected(3);
  EXPECT_OK(call(world, W::kCode3 | 3));
  EXPECT_THAT(world.stack<std::uint32_t>(2), ElementsAre(W::kProgram + 7, W::kCode3 | 3));
  world.port.take_away(0x2ff000);
  world.state.gpr[kRsp] = 0x2ff008;
  const CpuState before = world.state;
  EXPECT_FAULT(call(world, W::kCode3 | 3), Vector::kPF, 2, 0x2ff004);
  EXPECT_EQ(world.state, before);
}

TEST(FarCall, With64BitOperandsPushesQuadwords) {
  DeliveryWorld world;
  world.enter_long(3);
  world.state.gpr[kRax] = 0x7800;
  world.port.poke<std::uint64_t>(0x7800, 0x6000);
  world.port.poke<std::uint16_t>(0x7808, W::kCode64User | 3);
  EXPECT_OK(world.run({0x48, 0xff, 0x18}));
  EXPECT_THAT(world.stack<std::uint64_t>(2), ElementsAre(W::kProgram + 3, W::kCode64User | 3));
  EXPECT_OK(world.run({0x48, 0xcb}));
  EXPECT_EQ(world.state.rip, W::kProgram + 3);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3);
}

TEST(CallGate, SwitchesStacksAndCopiesParameters) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gdt(W::kFree, W::gate(0xec, W::kCode0, W::kHandler, 2));
  world.push_values(4, {0x11, 0x22, 0x33});
  EXPECT_OK(call(world, W::kFree | 3));
  EXPECT_EQ(world.state.rip, W::kHandler);
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_EQ(world.state.segment[kCs].selector, W::kCode0);
  EXPECT_THAT(world.stack<std::uint32_t>(6),
              ElementsAre(W::kProgram + 7, W::kCode3 | 3, 0x11, 0x22, W::kStack3, W::kData3 | 3));
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 - 24);

  // And back: RET 8 drops the parameters on both stacks and takes the inner segments away.
  world.state.segment[kDs] = world.from_gdt(W::kData0);
  EXPECT_OK(world.run({0xca, 8, 0}));
  EXPECT_EQ(world.state.cpl(), 3u);
  EXPECT_EQ(world.state.rip, W::kProgram + 7);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3 + 8);
  EXPECT_FALSE(world.state.segment[kDs].usable());
  EXPECT_EQ(world.state.segment[kDs].selector, 0u);
  EXPECT_TRUE(world.state.segment[kEs].usable());
}

TEST(CallGate, A16BitGateCopiesWords) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gdt(W::kFree, W::gate(0xe4, W::kCode0, W::kHandler, 1));
  world.push_values(2, {0x11});
  EXPECT_OK(call(world, W::kFree));
  EXPECT_THAT(world.stack<std::uint16_t>(5),
              ElementsAre(W::kProgram + 7, W::kCode3 | 3, 0x11, W::kStack3, W::kData3 | 3));
}

TEST(CallGate, AtTheSameLevelOnlyTheReturnAddressIsPushed) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gdt(W::kFree, W::gate(0xec, W::kCode3, W::kHandler, 2));
  EXPECT_OK(call(world, W::kFree));
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3 - 8);
  EXPECT_EQ(world.state.segment[kCs].selector, W::kCode3 | 3);
}

TEST(CallGate, ChecksThePrivilegeOfGateAndTarget) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gdt(W::kFree, W::gate(0x8c, W::kCode0, W::kHandler));
  EXPECT_FAULT(call(world, W::kFree), Vector::kGP, W::kFree);
  world.set_gdt(W::kFree, W::gate(0xac, W::kCode0, W::kHandler));
  world.enter_protected(1);
  EXPECT_FAULT(call(world, W::kFree | 2), Vector::kGP, W::kFree);
  EXPECT_OK(call(world, W::kFree | 1));
  world.enter_protected(0);
  world.set_gdt(W::kFree, W::gate(0xec, W::kCode3, W::kHandler));
  EXPECT_FAULT(call(world, W::kFree), Vector::kGP, W::kCode3);
  world.set_gdt(W::kFree, W::gate(0x6c, W::kCode0, W::kHandler));
  EXPECT_FAULT(call(world, W::kFree), Vector::kNP, W::kFree);
  world.set_gdt(W::kFree, W::gate(0xec, 0, W::kHandler));
  EXPECT_FAULT(call(world, W::kFree), Vector::kGP, 0);
  world.set_gdt(W::kFree, W::gate(0xec, W::kData0, W::kHandler));
  EXPECT_FAULT(call(world, W::kFree), Vector::kGP, W::kData0);
}

TEST(CallGate, AJumpMayNotChangeTheLevel) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.set_gdt(W::kFree, W::gate(0xec, W::kCode0, W::kHandler));
  EXPECT_FAULT(jump(world, W::kFree), Vector::kGP, W::kCode0);
  world.set_gdt(W::kFree, W::gate(0xec, W::kConforming0, W::kHandler));
  EXPECT_OK(jump(world, W::kFree));
  EXPECT_EQ(world.state.rip, W::kHandler);
  EXPECT_EQ(world.state.cpl(), 3u);
}

TEST(CallGate, InLongModeHas16BytesAndPushesFourQuadwords) {
  DeliveryWorld world;
  world.enter_long(3, false);
  world.set_gdt(W::kFree, W::gate(0xec, W::kCode64, W::kHandler));
  world.port.poke<std::uint64_t>(W::kGdt + W::kFree + 8, 0xffff8000);
  EXPECT_OK(call(world, W::kFree));
  EXPECT_EQ(world.state.rip, 0xffff800000006000u);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 + 8 - 32);  // not aligned
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_FALSE(world.state.segment[kSs].usable());
  EXPECT_THAT(world.stack<std::uint64_t>(4),
              ElementsAre(W::kProgram + 7, W::kCode3 | 3, W::kStack3, W::kData3 | 3));
}

TEST(CallGate, InLongModeTheTargetIs64BitCodeAndOtherGatesAreGone) {
  DeliveryWorld world;
  world.enter_long(0, false);
  world.port.poke<std::uint64_t>(W::kGdt + W::kFree + 8, 0);
  world.set_gdt(W::kFree, W::gate(0xec, W::kCode0, W::kHandler));
  EXPECT_FAULT(call(world, W::kFree), Vector::kGP, W::kCode0);
  world.set_gdt(W::kCode16, 0x00ef9b000000ffff);  // L and D
  world.set_gdt(W::kFree, W::gate(0xec, W::kCode16, W::kHandler));
  EXPECT_FAULT(call(world, W::kFree), Vector::kGP, W::kCode16);
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{0xe4, 0xe5, 0xe9}) {
    world.set_gdt(W::kFree, W::gate(type, W::kCode64, W::kHandler));
    EXPECT_FAULT(call(world, W::kFree), Vector::kGP, W::kFree);
  }
}

TEST(FarReturn, GoesNeverToAMorePrivilegedLevel) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.push_values(4, {0x6000, W::kCode0});
  EXPECT_FAULT(world.run({0xcb}), Vector::kGP, W::kCode0);
  world.push_values(4, {0x6000, W::kCode3 | 3});
  EXPECT_OK(world.run({0xcb}));
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3 + 8);
}

TEST(FarReturn, FlawsOfTheOuterStackFault) {
  struct Case {
    std::uint16_t ss;
    Vector vector;
    std::uint32_t error_code;
  };
  for (const Case& bad :
       {Case{0, Vector::kGP, 0}, Case{W::kData3, Vector::kGP, W::kData3},
        Case{W::kData0 | 3, Vector::kGP, W::kData0}, Case{W::kCode3 | 3, Vector::kGP, W::kCode3},
        Case{W::kFree | 3, Vector::kSS, W::kFree}}) {
    DeliveryWorld world;
    world.enter_protected(0);
    world.set_gdt(W::kFree, 0x00cf73000000ffff);
    world.push_values(4, {0x6000, W::kCode3 | 3, W::kStack3, bad.ss});
    const CpuState before = world.state;
    EXPECT_FAULT(world.run({0xcb}), bad.vector, bad.error_code);
    EXPECT_EQ(world.state, before);
  }
}

TEST(FarReturn, ToA16BitStackKeepsTheUpperHalfOfEsp) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.segment[kSs].base = 0xfff80000;  // so that ESP has something above bit 15
  world.state.gpr[kRsp] = 0x88000;
  world.port.poke<std::uint32_t>(0x8000, 0x6000);
  world.port.poke<std::uint32_t>(0x8004, W::kCode3 | 3);
  world.port.poke<std::uint32_t>(0x8008, 0x11112222);
  world.port.poke<std::uint32_t>(0x800c, W::kData16User | 3);
  EXPECT_OK(world.run({0xcb}));
  EXPECT_EQ(world.state.gpr[kRsp], 0x82222u);
}

TEST(CallGate, TheTargetHasToBePresentAndToContainTheOffset) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gdt(W::kFree, W::gate(0x8c, W::kFree + 8, W::kHandler));
  world.set_gdt(W::kFree + 8, 0x00cf1b000000ffff);
  EXPECT_FAULT(call(world, W::kFree), Vector::kNP, W::kFree + 8);
  world.set_gdt(W::kFree + 8, 0x00409b0000005fff);
  EXPECT_FAULT(call(world, W::kFree), Vector::kGP, 0);
  world.set_gdt(W::kFree + 8, 0x00409b0000006000);
  world.port.mode_changes = 0;
  EXPECT_OK(call(world, W::kFree));
  EXPECT_GT(world.port.mode_changes, 0u);
}

TEST(FarCall, FlawsOfTheTargetFault) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gdt(W::kFree, 0x00409b0000005fff);
  EXPECT_FAULT(call(world, W::kFree), Vector::kGP, 0);
  EXPECT_FAULT(call(world, 0), Vector::kGP, 0);
  EXPECT_FAULT(call(world, W::kTss), Vector::kGP, W::kTss);  // busy
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0);
}

TEST(FarCall, In64BitModeTheStackIsNotCutTo32Bits) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.gpr[kRax] = 0x7800;
  world.port.poke<std::uint32_t>(0x7800, 0x6000);
  world.port.poke<std::uint16_t>(0x7804, W::kCode64);
  world.state.gpr[kRsp] = 0xffff800000001000;
  EXPECT_FAULT(world.run({0xff, 0x18}), Vector::kPF, 2, 0xffff800000000ffc);
  world.state.gpr[kRsp] = 0xffff800000000002;  // ends on the other side of the hole
  EXPECT_FAULT(world.run({0xff, 0x18}), Vector::kSS, 0);
}

TEST(FarTransfers, InRealModeStayInsideTheLimitOfCs) {
  DeliveryWorld world;
  world.enter_real();
  EXPECT_FAULT(world.run({0x66, 0xea, 0, 0, 1, 0, 0, 0}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0x66, 0x9a, 0, 0, 1, 0, 0, 0}), Vector::kGP, 0);
  EXPECT_OK(world.run({0x66, 0xea, 0xff, 0xff, 0, 0, 0, 0}));
  EXPECT_OK(world.run({0x66, 0x9a, 0xff, 0xff, 0, 0, 0, 0}));
  world.push_values(4, {0x10000, 0});
  EXPECT_FAULT(world.run({0x66, 0xcb}), Vector::kGP, 0);
}

}  // namespace
}  // namespace vireo::x86
