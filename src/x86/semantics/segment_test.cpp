#include "x86/semantics/segment.h"

#include <gtest/gtest.h>

#include "support/delivery_world.h"
#include "x86/delivery/segment_rules.h"

namespace vireo::x86 {
namespace {

using W = DeliveryWorld;

TEST(LoadSegment, InRealModeOnlySelectorAndBaseChange) {
  DeliveryWorld world;
  world.enter_real();
  world.state.segment[kDs].limit = 0xffffffff;  // as after a visit to protected mode
  EXPECT_OK(load_segment(world.state, world.port, kDs, 0x1234));
  EXPECT_EQ(world.state.segment[kDs], (Segment{0x1234, 0x93, 0xffffffff, 0x12340}));
}

TEST(LoadSegment, InRealModeMakesANullSegmentUsable) {
  DeliveryWorld world;
  world.enter_real();
  world.state.segment[kDs] = null_segment(0);
  EXPECT_OK(load_segment(world.state, world.port, kDs, 0x1234));
  EXPECT_EQ(world.state.segment[kDs], (Segment{0x1234, 0x93, 0xffff, 0x12340}));
}

TEST(LoadSegment, InVirtual8086ModeEverythingIsFixed) {
  DeliveryWorld world;
  world.enter_virtual8086(3);
  EXPECT_OK(load_segment(world.state, world.port, kSs, 0x1234));
  EXPECT_EQ(world.state.segment[kSs], (Segment{0x1234, 0xf3, 0xffff, 0x12340}));
  EXPECT_EQ(world.state.cpl(), 3u);
}

TEST(LoadSegment, ANullSelectorIsUnusable) {
  DeliveryWorld world;
  world.enter_protected(3);
  EXPECT_OK(load_segment(world.state, world.port, kEs, 3));
  EXPECT_FALSE(world.state.segment[kEs].usable());
  EXPECT_EQ(world.state.segment[kEs].selector, 3);
}

TEST(LoadSegment, DataHasItsRules) {
  struct Case {
    std::uint16_t selector;
    Vector vector;
    std::uint32_t error_code;
  };
  DeliveryWorld world;
  world.set_gdt(W::kFree, 0x00cf73000000ffff);      // not present
  world.set_gdt(W::kFree + 8, 0x00cff9000000ffff);  // execute-only
  world.enter_protected(3);
  const CpuState before = world.state;
  for (const Case& bad :
       {Case{W::kData0, Vector::kGP, W::kData0}, Case{W::kCode0, Vector::kGP, W::kCode0},
        Case{W::kFree, Vector::kNP, W::kFree}, Case{W::kFree + 8, Vector::kGP, W::kFree + 8},
        Case{W::kTss, Vector::kGP, W::kTss}, Case{0x100, Vector::kGP, 0x100},
        Case{0xf, Vector::kGP, 0xc}}) {
    EXPECT_FAULT(load_segment(world.state, world.port, kDs, bad.selector), bad.vector,
                 bad.error_code);
    EXPECT_EQ(world.state, before);
  }
  EXPECT_OK(load_segment(world.state, world.port, kDs, W::kConforming0 | 3));
  EXPECT_OK(load_segment(world.state, world.port, kDs, W::kCode3));
  world.enter_protected(0);
  EXPECT_FAULT(load_segment(world.state, world.port, kDs, W::kData0 | 1), Vector::kGP, W::kData0);
  EXPECT_OK(load_segment(world.state, world.port, kDs, W::kData3 | 3));
}

TEST(LoadSegment, TheStackHasItsRules) {
  struct Case {
    std::uint16_t selector;
    Vector vector;
    std::uint32_t error_code;
  };
  DeliveryWorld world;
  world.set_gdt(W::kFree, 0x00cf13000000ffff);      // not present
  world.set_gdt(W::kFree + 8, 0x00cf91000000ffff);  // read-only
  world.enter_protected(0);
  for (const Case& bad :
       {Case{0, Vector::kGP, 0}, Case{W::kData3 | 3, Vector::kGP, W::kData3},
        Case{W::kData0 | 1, Vector::kGP, W::kData0}, Case{W::kFree, Vector::kSS, W::kFree},
        Case{W::kFree + 8, Vector::kGP, W::kFree + 8}, Case{W::kCode0, Vector::kGP, W::kCode0}})
    EXPECT_FAULT(load_segment(world.state, world.port, kSs, bad.selector), bad.vector,
                 bad.error_code);
}

TEST(LoadSegment, ANullStackIsFor64BitCodeBelowLevel3) {
  DeliveryWorld world;
  world.enter_long(0);
  EXPECT_OK(load_segment(world.state, world.port, kSs, 0));
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_FALSE(world.state.segment[kSs].usable());
  EXPECT_FAULT(load_segment(world.state, world.port, kSs, 1), Vector::kGP, 0);
  DeliveryWorld user;
  user.enter_long(3);
  EXPECT_FAULT(load_segment(user.state, user.port, kSs, 3), Vector::kGP, 0);
}

TEST(MovSegment, LoadingSsHoldsInterruptsBack) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.gpr[kRax] = W::kData0;
  EXPECT_OK(world.run({0x8e, 0xd8}));  // MOV DS, EAX
  EXPECT_EQ(world.state.mov_ss_shadow, 0);
  EXPECT_OK(world.run({0x8e, 0xd0}));  // MOV SS, EAX
  EXPECT_EQ(world.state.mov_ss_shadow, 1);
}

TEST(MovSegment, CsCannotBeLoaded) {
  DeliveryWorld world;
  world.enter_protected(0);
  EXPECT_FAULT(world.run({0x8e, 0xc8}), Vector::kUD);
  EXPECT_FAULT(load_segment(world.state, world.port, kCs, W::kCode0), Vector::kUD);
}

TEST(MovSegment, StoresZeroExtendedToRegistersAndTwoBytesToMemory) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.gpr[kRax] = ~0ull;
  EXPECT_OK(world.run({0x66, 0x8c, 0xd8}));  // MOV AX, DS
  EXPECT_EQ(world.state.gpr[kRax], 0xffffffffffff0000u | W::kData0);
  EXPECT_OK(world.run({0x8c, 0xd8}));  // MOV EAX, DS
  EXPECT_EQ(world.state.gpr[kRax], W::kData0);
  world.state.gpr[kRax] = 0x7800;
  world.port.poke<std::uint32_t>(0x7800, 0xffffffff);
  EXPECT_OK(world.run({0x48, 0x8c, 0x18}));  // MOV [RAX], DS
  EXPECT_EQ(world.port.peek<std::uint32_t>(0x7800), 0xffff0000 | W::kData0);
}

TEST(PopSegment, MovesTheStackOnlyIfTheLoadWorked) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.push_values(4, {W::kData0, 0});
  EXPECT_FAULT(world.run({0x1f}), Vector::kGP, W::kData0);  // POP DS
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3);
  world.push_values(4, {W::kData3 | 3});
  EXPECT_OK(world.run({0x17}));  // POP SS
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3 + 4);
  EXPECT_EQ(world.state.mov_ss_shadow, 1);
}

TEST(PushSegment, HasTheOperandSize) {
  DeliveryWorld world;
  world.enter_long(3);
  world.port.poke<std::uint64_t>(W::kStack3 - 8, ~0ull);
  EXPECT_OK(world.run({0x0f, 0xa0}));  // PUSH FS
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3 - 8);
  EXPECT_EQ(world.stack<std::uint64_t>(1)[0], W::kData3 | 3u);
  EXPECT_OK(world.run({0x66, 0x0f, 0xa1}));  // POP FS
  EXPECT_EQ(world.state.gpr[kRsp], W::kStack3 - 6);
}

TEST(LoadFarPointer, LoadsBothOrNeither) {
  DeliveryWorld world;
  world.enter_protected(3);
  world.state.gpr[kRax] = 0x7800;
  world.port.poke<std::uint32_t>(0x7800, 0x11223344);
  world.port.poke<std::uint16_t>(0x7804, W::kData0);
  const CpuState before = world.state;
  EXPECT_FAULT(world.run({0xc4, 0x08}), Vector::kGP, W::kData0);  // LES ECX, [EAX]
  EXPECT_EQ(world.state, before);
  world.port.poke<std::uint16_t>(0x7804, W::kCode3 | 3);
  EXPECT_OK(world.run({0xc4, 0x08}));
  EXPECT_EQ(world.state.gpr[kRcx], 0x11223344u);
  EXPECT_EQ(world.state.segment[kEs].selector, W::kCode3 | 3);
}

TEST(LoadFarPointer, LssHasNoShadow) {
  DeliveryWorld world;
  world.enter_long(0);
  world.state.gpr[kRax] = 0x7800;
  world.port.poke<std::uint64_t>(0x7800, 0xffff800000001000);
  world.port.poke<std::uint16_t>(0x7808, W::kData0);
  EXPECT_OK(world.run({0x48, 0x0f, 0xb2, 0x20}));  // LSS RSP, [RAX]
  EXPECT_EQ(world.state.gpr[kRsp], 0xffff800000001000u);
  EXPECT_EQ(world.state.mov_ss_shadow, 0);
}

TEST(LoadSegment, MarksTheSegmentAccessed) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.set_gdt(W::kFree, 0x00cf92000000ffff);
  EXPECT_OK(load_segment(world.state, world.port, kDs, W::kFree));
  EXPECT_EQ(world.gdt(W::kFree), 0x00cf93000000ffffu);
  EXPECT_EQ(world.state.segment[kDs].access, 0xc093u);
  world.set_gdt(W::kFree, 0x00cf92000000ffff);
  EXPECT_OK(load_segment(world.state, world.port, kSs, W::kFree));
  EXPECT_EQ(world.gdt(W::kFree), 0x00cf93000000ffffu);
}

}  // namespace
}  // namespace vireo::x86
