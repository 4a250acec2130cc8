#include "x86/delivery/task_switch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/delivery_world.h"
#include "x86/delivery/interrupt_delivery.h"

namespace vireo::x86 {
namespace {

using W = DeliveryWorld;

constexpr std::uint64_t kNew = W::kOtherTssBase, kOld = W::kTssBase;
constexpr std::uint32_t kNewEip = 0x6000, kNewEsp = 0x9800;

/// A world at level 0 whose other TSS holds a task at the given level.
DeliveryWorld task_world(unsigned cpl = 0) {
  DeliveryWorld world;
  world.enter_protected(0);
  world.state.rflags |= rflags::kCf;
  const std::uint16_t code = cpl == 0 ? W::kCode0 : W::kCode3 | 3;
  const std::uint16_t data = cpl == 0 ? W::kData0 : W::kData3 | 3;
  world.port.poke<std::uint32_t>(kNew + 0x1c, 0x7000);
  world.port.poke<std::uint32_t>(kNew + 0x20, kNewEip);
  world.port.poke<std::uint32_t>(kNew + 0x24, 0x202);
  for (std::uint32_t i = 0; i < 8; ++i) world.port.poke(kNew + 0x28 + i * 4, 0x1000u + i);
  world.port.poke<std::uint32_t>(kNew + 0x28 + 4 * 4, kNewEsp);
  for (std::uint32_t i = 0; i < 6; ++i)
    world.port.poke<std::uint16_t>(kNew + 0x48 + i * 4, i == 1 ? code : data);
  return world;
}

OrFault<> jump(DeliveryWorld& world, std::uint8_t selector = W::kOtherTss) {
  return world.run({0xea, 0, 0, 0, 0, selector, 0});
}
OrFault<> call(DeliveryWorld& world, std::uint8_t selector = W::kOtherTss) {
  return world.run({0x9a, 0, 0, 0, 0, selector, 0});
}
bool is_busy(const DeliveryWorld& world, std::uint16_t selector) {
  return (world.gdt(selector) >> 41 & 1) != 0;
}

TEST(TaskSwitch, AJumpSavesTheOldTaskAndLoadsTheNew) {
  DeliveryWorld world = task_world();
  world.state.gpr[kRbx] = 0xb0b0b0b0;
  world.state.ldtr = {W::kLdt, 0x82, 0xff, W::kLdtBase};
  EXPECT_OK(jump(world));
  EXPECT_FALSE(world.state.ldtr.usable());
  EXPECT_EQ(world.port.peek<std::uint32_t>(kOld + 0x20), W::kProgram + 7);
  EXPECT_EQ(world.port.peek<std::uint32_t>(kOld + 0x24), rflags::kFixed1 | rflags::kCf);
  EXPECT_EQ(world.port.peek<std::uint32_t>(kOld + 0x28 + 3 * 4), 0xb0b0b0b0u);
  EXPECT_EQ(world.port.peek<std::uint32_t>(kOld + 0x4c), W::kCode0);
  EXPECT_EQ(world.state.rip, kNewEip);
  EXPECT_EQ(world.state.gpr[kRdi], 0x1007u);
  EXPECT_EQ(world.state.gpr[kRsp], kNewEsp);
  EXPECT_EQ(world.state.rflags, 0x202u);
  EXPECT_EQ(world.state.tr.selector, W::kOtherTss);
  EXPECT_EQ(world.state.tr.type(), 0xbu);
  EXPECT_FALSE(is_busy(world, W::kTss));
  EXPECT_TRUE(is_busy(world, W::kOtherTss));
  EXPECT_NE(world.state.cr0 & cr0::kTs, 0u);
  EXPECT_EQ(world.state.cr3, 0u);  // no paging
}

TEST(TaskSwitch, ACallNestsAndIretReturns) {
  DeliveryWorld world = task_world(3);
  EXPECT_OK(call(world));
  EXPECT_EQ(world.state.cpl(), 3u);
  EXPECT_EQ(world.state.rflags, 0x202u | rflags::kNt);
  EXPECT_EQ(world.port.peek<std::uint16_t>(kNew), W::kTss);
  EXPECT_TRUE(is_busy(world, W::kTss));
  EXPECT_TRUE(is_busy(world, W::kOtherTss));

  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.rip, W::kProgram + 7);
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_EQ(world.state.tr.selector, W::kTss);
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kCf);
  EXPECT_TRUE(is_busy(world, W::kTss));
  EXPECT_FALSE(is_busy(world, W::kOtherTss));
  EXPECT_EQ(world.port.peek<std::uint32_t>(kNew + 0x24), 0x202u);  // NT is cleared in the image
  EXPECT_EQ(world.port.peek<std::uint32_t>(kNew + 0x20), kNewEip + 1);
}

TEST(TaskSwitch, AnInterruptThroughATaskGatePushesItsErrorCodeInTheNewTask) {
  DeliveryWorld world = task_world();
  world.set_gate(13, W::gate(0x85, W::kOtherTss, 0));
  EXPECT_EQ(deliver_fault(world.state, world.port, {Vector::kGP, 0x1234}),
            DeliveryOutcome::kDelivered);
  EXPECT_EQ(world.state.gpr[kRsp], kNewEsp - 4);
  EXPECT_EQ(world.stack<std::uint32_t>(1)[0], 0x1234u);
  EXPECT_NE(world.state.rflags & rflags::kNt, 0u);
  EXPECT_NE(world.port.peek<std::uint32_t>(kOld + 0x24) & rflags::kRf, 0u);
}

TEST(TaskSwitch, ThroughATaskGateTheTssMayBeMorePrivileged) {
  DeliveryWorld world = task_world();
  world.enter_protected(3);
  EXPECT_FAULT(jump(world, W::kOtherTss), Vector::kGP, W::kOtherTss);
  world.set_gdt(W::kFree, W::gate(0xe5, W::kOtherTss, 0));
  EXPECT_OK(jump(world, W::kFree));
  EXPECT_EQ(world.state.cpl(), 0u);
}

TEST(TaskSwitch, FlawsOfTheTssAreFoundInTheOldTask) {
  struct Case {
    std::uint64_t tss;
    Vector vector;
  };
  for (const Case& bad : {Case{W::system(0x8b, kNew, 0x67), Vector::kGP},     // busy
                          Case{W::system(0x09, kNew, 0x67), Vector::kNP},     // not present
                          Case{W::system(0x89, kNew, 0x66), Vector::kTS},     // too short
                          Case{W::system(0x81, kNew, 0x2a), Vector::kTS}}) {  // too short
    DeliveryWorld world = task_world();
    world.set_gdt(W::kOtherTss, bad.tss);
    const CpuState before = world.state;
    EXPECT_FAULT(jump(world), bad.vector, W::kOtherTss);
    EXPECT_EQ(world.state, before);
  }
}

TEST(TaskSwitch, MemoryThatIsMissingIsFoundInTheOldTask) {
  for (const std::uint64_t page : {kNew, kOld}) {
    DeliveryWorld world = task_world();
    world.port.take_away(page);
    const CpuState before = world.state;
    EXPECT_EQ(fault_of(call(world)).vector, Vector::kPF);
    EXPECT_EQ(world.state, before);
    EXPECT_FALSE(is_busy(world, W::kOtherTss));
  }
}

TEST(TaskSwitch, FlawsOfSegmentsAreFaultsOfTheNewTask) {
  struct Case {
    std::uint32_t field;
    std::uint16_t selector;
    std::uint8_t vector;
    std::uint32_t error_code;
  };
  for (const Case& bad :
       {Case{0x4c, 0, 10, 0}, Case{0x4c, W::kData0, 10, W::kData0},
        Case{0x4c, W::kCode3, 10, W::kCode3}, Case{0x50, 0, 10, 0},
        Case{0x50, W::kData0 | 1, 10, W::kData0}, Case{0x50, W::kFree, 12, W::kFree},
        Case{0x54, W::kFree, 11, W::kFree}, Case{0x58, 0xf8, 10, 0xf8},
        Case{0x60, W::kData0, 10, W::kData0}, Case{0x60, 4 | 8, 10, 12}}) {
    DeliveryWorld world = task_world();
    world.set_gdt(W::kFree, 0x00cf13000000ffff);  // not present
    world.port.poke(kNew + bad.field, bad.selector);
    // The handler runs in a task of its own, for the new one has no usable stack.
    world.set_gate(bad.vector, W::gate(0x85, W::kTss, 0));
    world.port.poke<std::uint32_t>(kOld + 0x1c, 0);
    EXPECT_OK(jump(world));
    EXPECT_EQ(world.state.tr.selector, W::kTss) << bad.field;
    EXPECT_EQ(world.port.peek<std::uint32_t>(kNew + 0x20), kNewEip) << bad.field;
    EXPECT_EQ(world.stack<std::uint32_t>(1)[0], bad.error_code) << bad.field;
  }
}

TEST(TaskSwitch, AnEipOutsideCodeIsAFaultOfTheNewTask) {
  DeliveryWorld world = task_world();
  world.set_gdt(W::kFree, 0x00409b0000005fff);
  world.port.poke<std::uint16_t>(kNew + 0x4c, W::kFree);
  world.set_gate(13, W::gate(0x8e, W::kCode0, W::kHandler));
  EXPECT_OK(jump(world));
  EXPECT_EQ(world.state.rip, W::kHandler);
  EXPECT_EQ(world.stack<std::uint32_t>(3)[1], kNewEip);
}

TEST(TaskSwitch, ATaskThatCannotEvenFaultShutsTheCpuDown) {
  DeliveryWorld world = task_world();
  world.port.poke<std::uint16_t>(kNew + 0x50, 0);
  EXPECT_OK(jump(world));
  EXPECT_EQ(world.state.activity, static_cast<std::uint8_t>(Activity::kShutdown));
}

TEST(TaskSwitch, WithPagingCr3AndThePdptesAreLoaded) {
  DeliveryWorld world = task_world();
  world.state.cr0 |= cr0::kPg;
  world.state.cr4 |= cr4::kPae;
  world.port.poke<std::uint64_t>(0x7000, 0x9001);
  EXPECT_OK(jump(world));
  EXPECT_EQ(world.state.cr3, 0x7000u);
  EXPECT_EQ(world.state.pdpte[0], 0x9001u);
  EXPECT_THAT(world.port.flushes, ::testing::ElementsAre(TlbFlush::kNonGlobal));
}

TEST(TaskSwitch, TheTrapBitIsADebugExceptionAfterwards) {
  DeliveryWorld world = task_world();
  world.port.poke<std::uint16_t>(kNew + 0x64, 1);
  world.state.dr7 = dr7::kFixed1 | 0x3ff;
  EXPECT_OK(jump(world));
  EXPECT_EQ(world.state.pending_debug, dr6::kBt);
  EXPECT_EQ(world.state.dr7, dr7::kFixed1 | 0x2aa);  // global enables stay
}

TEST(TaskSwitch, AVirtual8086TaskHasItsSegmentsFromTheSelectors) {
  DeliveryWorld world = task_world();
  world.port.poke<std::uint32_t>(kNew + 0x24, 0x20202);
  EXPECT_OK(jump(world));
  EXPECT_TRUE(world.state.virtual8086());
  EXPECT_EQ(world.state.cpl(), 3u);
  EXPECT_EQ(world.state.segment[kDs].base, W::kData0 * 16u);
}

TEST(TaskSwitch, A16BitTaskKeepsNoUpperHalves) {
  DeliveryWorld world = task_world();
  world.set_gdt(W::kOtherTss, W::system(0x81, kNew, 0x2b));
  for (std::uint32_t i = 0; i < 0x2c; i += 2) world.port.poke<std::uint16_t>(kNew + i, 0);
  world.port.poke<std::uint16_t>(kNew + 0x0e, kNewEip);
  world.port.poke<std::uint16_t>(kNew + 0x10, 0x3202);
  world.port.poke<std::uint16_t>(kNew + 0x12, 0xaaaa);
  world.port.poke<std::uint16_t>(kNew + 0x24, W::kCode0);
  world.port.poke<std::uint16_t>(kNew + 0x26, W::kData0);
  world.state.gpr[kRax] = 0x12345678;
  EXPECT_OK(call(world));
  EXPECT_EQ(world.state.rip, kNewEip);
  EXPECT_EQ(world.state.gpr[kRax], 0xaaaau);
  EXPECT_FALSE(world.state.segment[kFs].usable());
  EXPECT_EQ(world.state.rflags, 0x3202u | rflags::kNt);
  world.state.gpr[kRax] = 0xbbbb;
  EXPECT_OK(world.run({0xcf}));
  EXPECT_EQ(world.state.gpr[kRax], 0x12345678u);
  EXPECT_EQ(world.port.peek<std::uint16_t>(kNew + 0x12), 0xbbbbu);
}

TEST(TaskReturn, FlawsOfTheLinkAreInvalidTss) {
  DeliveryWorld world = task_world();
  world.state.rflags |= rflags::kNt;
  for (const unsigned link : {0u, 0x54u, 0xf8u, 0u + W::kOtherTss, 0u + W::kCode0}) {
    world.port.poke(kOld, static_cast<std::uint16_t>(link));
    EXPECT_FAULT(world.run({0xcf}), Vector::kTS, link & 0xfffcu);
  }
}

TEST(TaskSwitch, AnInterruptThroughATaskGatePushesNothing) {
  DeliveryWorld world = task_world();
  world.set_gate(0x20, W::gate(0x85, W::kOtherTss, 0));
  EXPECT_OK(world.interrupt(0x20));
  EXPECT_EQ(world.state.gpr[kRsp], kNewEsp);
  EXPECT_EQ(world.state.rip, kNewEip);
}

TEST(TaskSwitch, ATaskGateHasToNameATssOfTheGlobalTable) {
  DeliveryWorld world = task_world();
  world.state.ldtr = {W::kLdt, 0x82, 0xff, W::kLdtBase};
  world.port.poke<std::uint64_t>(W::kLdtBase, W::system(0x89, kNew, 0x67));
  world.set_gate(0x20, W::gate(0x85, 4, 0));
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, 5);
  world.set_gate(0x20, W::gate(0x85, W::kTss, 0));  // busy
  EXPECT_FAULT(world.interrupt(0x20), Vector::kGP, W::kTss | 1);
}

TEST(TaskSwitch, A16BitTaskGetsAnErrorCodeOf16Bits) {
  DeliveryWorld world = task_world();
  world.set_gdt(W::kOtherTss, W::system(0x81, kNew, 0x2b));
  for (std::uint32_t i = 0; i < 0x2c; i += 2) world.port.poke<std::uint16_t>(kNew + i, 0);
  world.port.poke<std::uint16_t>(kNew + 0x1a, kNewEsp);
  world.port.poke<std::uint16_t>(kNew + 0x24, W::kCode0);
  world.port.poke<std::uint16_t>(kNew + 0x26, W::kData0);
  world.set_gate(13, W::gate(0x85, W::kOtherTss, 0));
  deliver_fault(world.state, world.port, {Vector::kGP, 0x1234});
  EXPECT_EQ(world.state.gpr[kRsp], kNewEsp - 2);
}

TEST(TaskSwitch, LoadsTheLdtBeforeTheSegmentsInIt) {
  DeliveryWorld world = task_world();
  world.port.poke<std::uint64_t>(W::kLdtBase + 8, 0x00cf92000000ffff);
  world.port.poke<std::uint16_t>(kNew + 0x60, W::kLdt);
  world.port.poke<std::uint16_t>(kNew + 0x54, 0x0c);
  EXPECT_OK(jump(world));
  EXPECT_EQ(world.state.rip, kNewEip);
  EXPECT_EQ(world.state.ldtr, (Segment{W::kLdt, 0x82, 0xff, W::kLdtBase}));
  EXPECT_EQ(world.state.segment[kDs].selector, 0x0c);
  EXPECT_EQ(world.port.peek<std::uint64_t>(W::kLdtBase + 8), 0x00cf93000000ffffu);
}

TEST(TaskSwitch, ACodeSegmentThatIsNotPresentIsAFaultOfTheNewTask) {
  DeliveryWorld world = task_world();
  world.set_gdt(W::kFree, 0x00cf1b000000ffff);
  world.port.poke<std::uint16_t>(kNew + 0x4c, W::kFree);
  world.set_gate(11, W::gate(0x85, W::kTss, 0));
  EXPECT_OK(jump(world));
  EXPECT_EQ(world.state.tr.selector, W::kTss);
  EXPECT_EQ(world.stack<std::uint32_t>(1)[0], W::kFree);
}

TEST(TaskSwitch, ATaskGateWithANullSelectorFaults) {
  DeliveryWorld world = task_world();
  world.port.poke<std::uint64_t>(W::kGdt, W::system(0x89, kNew, 0x67));  // never looked at
  world.set_gdt(W::kFree, W::gate(0x85, 0, 0));
  EXPECT_FAULT(jump(world, W::kFree), Vector::kGP, 0);
}

}  // namespace
}  // namespace vireo::x86
