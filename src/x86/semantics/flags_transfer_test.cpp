#include "x86/semantics/flags_transfer.h"

#include <gtest/gtest.h>

#include "support/delivery_world.h"

namespace vireo::x86 {
namespace {

using W = DeliveryWorld;

constexpr std::uint64_t kEveryFlag = 0x3f7fd7;

TEST(Pushf, HidesRfAndVm) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.rflags = rflags::kAll | rflags::kFixed1;
  world.state.rflags &= ~rflags::kVm;
  EXPECT_OK(world.run({0x9c}));
  EXPECT_EQ(world.stack<std::uint32_t>(1)[0], kEveryFlag & ~(rflags::kRf | rflags::kVm));
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 - 4);
}

TEST(Popf, AtLevel0ChangesAllButVirtualFlags) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.rflags |= rflags::kRf | rflags::kVip;
  world.push_values(4, {0xffffffff});
  EXPECT_OK(world.run({0x9d}));
  EXPECT_EQ(world.state.rflags, (kEveryFlag & ~(rflags::kRf | rflags::kVm | rflags::kVif)));
  EXPECT_GT(world.port.mode_changes, 0u);  // AC
}

TEST(Popf, InUserModeIfDependsOnIopl) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.push_values(4, {0x3202});
  EXPECT_OK(world.run({0x9d}));
  EXPECT_EQ(world.state.rflags, rflags::kFixed1);
  world.state.rflags |= rflags::kIopl;
  world.push_values(4, {0});
  world.state.gpr[kRsp] = W::kStack3;
  world.push_values(4, {0x202});
  EXPECT_OK(world.run({0x9d}));
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kIf | rflags::kIopl);
}

TEST(Popf, InRealModeWritesIopl) {
  DeliveryWorld world;
  world.enter_real();
  world.push_values(2, {0x7202});
  EXPECT_OK(world.run({0x9d}));
  EXPECT_EQ(world.state.rflags, 0x7202u);
}

TEST(Popf, A16BitOperandKeepsTheUpperFlags) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.rflags |= rflags::kAc | rflags::kId;
  world.push_values(2, {0x0002});
  EXPECT_OK(world.run({0x66, 0x9d}));
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kAc | rflags::kId);
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack0 + 2);
}

TEST(FlagsInVirtual8086Mode, NeedIoplOrVme) {
  DeliveryWorld world;
  world.enter_virtual8086(0);
  EXPECT_FAULT(world.run({0x9c}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0x9d}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0xfa}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0xfb}), Vector::kGP, 0);
  world.state.cr4 |= cr4::kVme;
  EXPECT_FAULT(world.run({0x66, 0x9c}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0x66, 0x9d}), Vector::kGP, 0);
}

TEST(FlagsInVirtual8086Mode, WithVmeWorkOnTheVirtualInterruptFlag) {
  DeliveryWorld world;
  world.enter_virtual8086(0);
  world.state.cr4 |= cr4::kVme;
  EXPECT_OK(world.run({0xfb}));  // STI
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kVm | rflags::kVif);
  EXPECT_EQ(world.state.sti_shadow, 0);
  EXPECT_OK(world.run({0x9c}));
  EXPECT_EQ(world.stack<std::uint16_t>(1)[0], 0x3202u);
  EXPECT_OK(world.run({0xfa}));  // CLI
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kVm);
  EXPECT_OK(world.run({0x9d}));
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kVm | rflags::kVif);
  world.state.rflags |= rflags::kVip;
  EXPECT_FAULT(world.run({0xfb}), Vector::kGP, 0);
  world.state.gpr[kRsp] = 0x7ffe;
  EXPECT_FAULT(world.run({0x9d}), Vector::kGP, 0);  // 0x3202 again
}

TEST(FlagsInVirtual8086Mode, WithIopl3ThePlainFlagIsUsed) {
  DeliveryWorld world;
  world.enter_virtual8086(3);
  EXPECT_OK(world.run({0xfb}));
  EXPECT_NE(world.state.rflags & rflags::kIf, 0u);
  world.push_values(2, {0x0002});
  EXPECT_OK(world.run({0x9d}));
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kVm | rflags::kIopl);
}

TEST(Sti, HoldsInterruptsBackForOneInstructionIfTheyWereMasked) {
  DeliveryWorld world;
  world.enter_protected(0);
  EXPECT_OK(world.run({0xfb}));
  EXPECT_EQ(world.state.sti_shadow, 1);
  world.state.sti_shadow = 0;
  EXPECT_OK(world.run({0xfb}));
  EXPECT_EQ(world.state.sti_shadow, 0);
  EXPECT_OK(world.run({0xfa}));
  EXPECT_EQ(world.state.rflags, rflags::kFixed1);
}

TEST(Sti, AndCliNeedIoplOrPvi) {
  DeliveryWorld world;
  world.enter_protected(3);
  EXPECT_FAULT(world.run({0xfa}), Vector::kGP, 0);
  EXPECT_FAULT(world.run({0xfb}), Vector::kGP, 0);
  world.state.cr4 |= cr4::kPvi;
  EXPECT_OK(world.run({0xfb}));
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kVif);
  EXPECT_OK(world.run({0xfa}));
  world.state.rflags |= rflags::kVip;
  EXPECT_FAULT(world.run({0xfb}), Vector::kGP, 0);
  world.enter_protected(1);
  EXPECT_FAULT(world.run({0xfa}), Vector::kGP, 0);  // PVI is for level 3
  world.state.rflags |= 1u << rflags::kIoplShift;
  EXPECT_OK(world.run({0xfa}));
}

/// User mode with an I/O bitmap of ports 0-255 at 0x88, all forbidden but `allowed`.
DeliveryWorld io_world(std::initializer_list<unsigned> allowed) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.state.tr.limit = 0x88 + 32;
  world.port.poke<std::uint16_t>(W::kTssBase + 102, 0x88);
  for (std::uint64_t i = 0; i < 33; ++i)
    world.port.poke<std::uint8_t>(W::kTssBase + 0x88 + i, 0xff);
  for (const unsigned port : allowed) {
    const std::uint64_t at = W::kTssBase + 0x88 + port / 8;
    const auto bits = world.port.peek<std::uint8_t>(at);
    world.port.poke(at, static_cast<std::uint8_t>(bits & ~(1u << (port % 8))));
  }
  return world;
}

bool may(DeliveryWorld& world, std::uint16_t port, unsigned width) {
  const auto outcome = check_io_permission(world.state, world.port, port, width);
  if (!outcome) EXPECT_EQ(outcome.error(), (Fault{Vector::kGP, 0}));
  return outcome.has_value();
}

TEST(IoPermission, EveryPortOfTheAccessHasToBeAllowed) {
  DeliveryWorld world = io_world({0x60, 0x6e, 0x6f, 0x70, 0x71});
  EXPECT_TRUE(may(world, 0x60, 1));
  EXPECT_FALSE(may(world, 0x61, 1));
  EXPECT_FALSE(may(world, 0x60, 2));
  EXPECT_TRUE(may(world, 0x6e, 4));  // across a byte of the bitmap
  EXPECT_FALSE(may(world, 0x6f, 4));
}

TEST(IoPermission, BehindTheLimitNothingIsAllowed) {
  DeliveryWorld world = io_world({0xf8, 0xff});
  EXPECT_TRUE(may(world, 0xff, 1));
  world.state.tr.limit -= 1;  // the byte of ones at the end is needed
  EXPECT_FALSE(may(world, 0xf8, 1));
  EXPECT_FALSE(may(world, 0x100, 1));
  world.state.tr.limit = 0x66;  // not even the field is there
  EXPECT_FALSE(may(world, 0xff, 1));
}

TEST(IoPermission, A16BitTssHasNoBitmap) {
  DeliveryWorld world = io_world({0x60});
  world.state.tr.access = 0x83;
  EXPECT_FALSE(may(world, 0x60, 1));
}

TEST(IoPermission, IoplMakesTheBitmapUnnecessaryButInVirtual8086Mode) {
  DeliveryWorld world = io_world({0x60});
  world.state.rflags |= rflags::kIopl;
  EXPECT_TRUE(may(world, 0x61, 4));
  world.enter_virtual8086(3);
  EXPECT_FALSE(may(world, 0x61, 1));
  EXPECT_TRUE(may(world, 0x60, 1));
  world.enter_protected(1);
  world.state.cr0 &= ~cr0::kPe;
  world.state.rflags = rflags::kFixed1;
  EXPECT_TRUE(may(world, 0x61, 1));
}

}  // namespace
}  // namespace vireo::x86
