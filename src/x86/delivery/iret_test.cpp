#include "x86/delivery/iret.h"

#include <gtest/gtest.h>

#include "support/delivery_world.h"
#include "x86/delivery/segment_rules.h"

namespace vireo::x86 {
namespace {

using W = DeliveryWorld;

constexpr std::uint64_t kEveryFlag = 0x3f7fd7;

TEST(Iret, InRealModePopsThreeWords) {
  DeliveryWorld world;
  world.enter_real();
  world.push_values(2, {0x1234, 0x400, 0x7fff});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.rip, 0x1234u);
  EXPECT_EQ(world.state.segment[kCs].base, 0x4000u);
  EXPECT_EQ(world.state.rflags, 0x7fd7u);
  EXPECT_EQ(world.state.gpr[kRsp], 0x8006u);
}

TEST(Iret, InRealModeDoublewordsLeaveVirtualFlagsAlone) {
  DeliveryWorld world;
  world.enter_real();
  world.push_values(4, {0x1234, 0x400, 0xffffffff});
  EXPECT_OK(world.run({0x66, 0xcf}));
  EXPECT_EQ(world.state.rflags, 0x257fd7u);
  world.push_values(4, {0x10000, 0x400, 2});
  EXPECT_FAULT(world.run({0x66, 0xcf}), Vector::kGP, 0);
}

TEST(Iret, AtTheSameLevelPopsThreeAndRestoresRf) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.nmi_blocked = 1;
  world.push_values(4, {0x6000, W::kCode0, kEveryFlag & ~rflags::kVm});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.rip, 0x6000u);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 + 12);
  EXPECT_EQ(world.state.rflags, kEveryFlag & ~rflags::kVm);
  EXPECT_EQ(world.state.nmi_blocked, 0);
}

TEST(Iret, ToUserModePopsTheStackToo) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.segment[kFs] = world.from_gdt(W::kData3 | 3);
  world.state.segment[kGs] = null_segment(2);
  world.push_values(4, {0x6000, W::kCode3 | 3, 0x202, W::kStack3, W::kData3 | 3});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.cpl(), 3u);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3);
  EXPECT_EQ(world.state.rflags, 0x202u);
  EXPECT_FALSE(world.state.segment[kDs].usable());
  EXPECT_TRUE(world.state.segment[kFs].usable());
  EXPECT_EQ(world.state.segment[kGs].selector, 0u);
}

TEST(Iret, UserModeCannotChangeIoplNorIfWithoutIt) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.push_values(4, {0x6000, W::kCode3 | 3, kEveryFlag & ~rflags::kVm});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.rflags, kEveryFlag & ~(rflags::kVm | rflags::kIf | rflags::kIopl |
                                               rflags::kVif | rflags::kVip));
  world.enter_protected(3);
  world.state.rflags = rflags::kFixed1 | rflags::kIopl;
  world.push_values(4, {0x6000, W::kCode3 | 3, 0x202});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.rflags, 0x202u | rflags::kIopl);
}

TEST(Iret, VmInUserModeIsNotAReturnToVirtual8086) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.push_values(4, {0x6000, W::kCode3 | 3, 0x20202});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_FALSE(world.state.virtual8086());
}

TEST(Iret, A16BitOperandKeepsTheUpperFlags) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.rflags |= rflags::kAc;
  world.push_values(2, {0x6000, W::kCode0, 0x3202});
  EXPECT_OK(world.run({0x66, 0xcf}));
  EXPECT_EQ(world.state.rflags, 0x3202u | rflags::kAc);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 + 6);
}

TEST(Iret, ToVirtual8086ModePopsAllSegments) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.push_values(4, {0x100, 0x200, 0x23202, 0x8000, 0x300, 0x400, 0x500, 0x600, 0x700});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_TRUE(world.state.virtual8086());
  EXPECT_EQ(world.state.cpl(), 3u);
  EXPECT_EQ(world.state.rip, 0x100u);
  EXPECT_EQ(world.state.gpr[kRsp], 0x8000u);
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x200, 0xf3, 0xffff, 0x2000}));
  EXPECT_EQ(world.state.segment[kSs].selector, 0x300);
  EXPECT_EQ(world.state.segment[kEs].selector, 0x400);
  EXPECT_EQ(world.state.segment[kDs].selector, 0x500);
  EXPECT_EQ(world.state.segment[kFs].selector, 0x600);
  EXPECT_EQ(world.state.segment[kGs].selector, 0x700);
}

TEST(Iret, InVirtual8086ModeDependsOnIopl) {
  DeliveryWorld world;
  world.enter_virtual8086(0);
  EXPECT_FAULT(world.run({0xcf}), Vector::kGP, 0);
  world.state.rflags |= rflags::kIopl;
  world.push_values(2, {0x1234, 0x400, 0x0fd7});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.rip, 0x1234u);
  EXPECT_EQ(world.state.gpr[kRsp], 0x8006u);
  EXPECT_EQ(world.state.rflags, rflags::kVm | rflags::kIopl | 0xfd7);
  EXPECT_EQ(world.state.segment[kCs].base, 0x4000u);
}

TEST(Iret, WithVmeTheVirtualInterruptFlagIsPopped) {
  DeliveryWorld world;
  world.enter_virtual8086(0);
  world.state.cr4 |= cr4::kVme;
  world.push_values(2, {0x1234, 0x400, 0x3202});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.rflags, rflags::kVm | rflags::kVif | rflags::kFixed1);
  world.state.rflags |= rflags::kVip;
  world.push_values(2, {0x1234, 0x400, 0x3202});
  EXPECT_FAULT(world.run({0xcf}), Vector::kGP, 0);  // an interrupt is waiting
  world.push_values(2, {0x1234, 0x400, 0x102});
  EXPECT_FAULT(world.run({0xcf}), Vector::kGP, 0);  // TF
  EXPECT_FAULT(world.run({0x66, 0xcf}), Vector::kGP, 0);
}

TEST(Iretq, ToUserModeRestoresEverything) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.segment[kFs] = null_segment(0);
  world.state.segment[kFs].base = 0x7fff12345678;
  world.push_values(8, {0x7ffff000, W::kCode64User | 3, 0x10202, 0x7fffffff0000, W::kData3 | 3});
  EXPECT_OK(world.run({0x48, 0xcf}));
  EXPECT_EQ(world.state.rip, 0x7ffff000u);
  EXPECT_EQ(world.state.gpr[kRsp], 0x7fffffff0000u);
  EXPECT_EQ(world.state.rflags, 0x10202u);
  EXPECT_EQ(world.state.cpl(), 3u);
  EXPECT_EQ(world.state.segment[kFs].base, 0x7fff12345678u);  // thread-local storage survives
}

TEST(Iretq, AtTheSameLevelLoadsTheStackTooAndSsMayBeNull) {
  DeliveryWorld world;
  world.enter_long(0);
  world.push_values(8, {0x6000, W::kCode64, 0x2, 0x9008, 0});
  EXPECT_OK(world.run({0x48, 0xcf}));
  EXPECT_EQ(world.state.gpr[kRsp], 0x9008u);
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_FALSE(world.state.segment[kSs].usable());
}

TEST(Iretq, ANullStackIsNotForUserOrCompatibilityCode) {
  DeliveryWorld world;
  world.enter_long(0);
  for (const int cs : {W::kCode64User | 3, +W::kCode0}) {
    world.push_values(8, {0x6000, static_cast<std::uint64_t>(cs), 0x2, 0x9000, 0});
    EXPECT_FAULT(world.run({0x48, 0xcf}), Vector::kGP, 0);
  }
}

TEST(Iretq, ToCompatibilityMode) {
  DeliveryWorld world;
  world.enter_long(0);
  world.push_values(8, {0x6000, W::kCode3 | 3, 0x202, 0xffffa000, W::kData3 | 3});
  EXPECT_OK(world.run({0x48, 0xcf}));
  EXPECT_FALSE(world.state.code64());
  EXPECT_EQ(world.state.gpr[kRsp], 0xffffa000u);
}

TEST(Iretq, ANonCanonicalRipFaultsBeforeAnythingChanges) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.nmi_blocked = 1;
  world.push_values(8, {0x8000'0000'0000'0000, W::kCode64User | 3, 0x2, 0x9000, W::kData3 | 3});
  const CpuState before = world.state;
  EXPECT_FAULT(world.run({0x48, 0xcf}), Vector::kGP, 0);
  EXPECT_EQ(world.state.nmi_blocked, 0);  // but NMIs are free again
  world.state.nmi_blocked = 1;
  EXPECT_EQ(world.state, before);
}

TEST(Iretq, NestedTasksDoNotExistInLongMode) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.rflags |= rflags::kNt;
  EXPECT_FAULT(world.run({0x48, 0xcf}), Vector::kGP, 0);
}

TEST(Iret, FlawsOfTheCodeSegmentFault) {
  struct Case {
    std::uint16_t cs;
    Vector vector;
    std::uint32_t error_code;
  };
  for (const Case& bad :
       {Case{0, Vector::kGP, 0}, Case{W::kData0, Vector::kGP, W::kData0},
        Case{W::kCode0 | 3, Vector::kGP, W::kCode0}, Case{W::kCode3, Vector::kGP, W::kCode3},
        Case{W::kFree, Vector::kNP, W::kFree}, Case{0xf8, Vector::kGP, 0xf8}}) {
    DeliveryWorld world;
    world.enter_protected(0);
    world.state.gdtr.limit = 0xf7;
    world.set_gdt(W::kFree, 0x00cf1b000000ffff);
    world.push_values(4, {0x6000, bad.cs, 2});
    const CpuState before = world.state;
    EXPECT_FAULT(world.run({0xcf}), bad.vector, bad.error_code);
    EXPECT_EQ(world.state, before);
  }
}

TEST(Iret, TellsTheEngineThatTheLevelChanged) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.push_values(4, {0x6000, W::kCode3 | 3, 0x202, W::kStack3, W::kData3 | 3});
  EXPECT_OK(world.run({0xcf}));
  EXPECT_GT(world.port.mode_changes, 0u);
}

}  // namespace
}  // namespace vireo::x86
