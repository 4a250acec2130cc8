#include "x86/delivery/syscall.h"

#include <gtest/gtest.h>

#include "support/delivery_world.h"

namespace vireo::x86 {
namespace {

/// 64-bit mode with STAR and the SYSENTER registers set up as Linux does.
DeliveryWorld syscall_world(unsigned cpl, bool code64 = true) {
  DeliveryWorld world;
  world.enter_long(cpl, code64);
  world.state.msr.star = 0x0023'0010'0000'0000;
  world.state.msr.lstar = 0xffffffff81000000;
  world.state.msr.fmask = rflags::kIf | rflags::kTf | rflags::kAc;
  world.state.msr.sysenter_cs = 0x10;
  world.state.msr.sysenter_esp = 0xffffc90000001000;
  world.state.msr.sysenter_eip = 0xffffffff81002000;
  return world;
}

TEST(Syscall, KeepsRipAndFlagsInRegistersAndLoadsFlatSegments) {
  DeliveryWorld world = syscall_world(3);
  world.state.rflags = rflags::kFixed1 | rflags::kIf | rflags::kAc | rflags::kZf;
  EXPECT_OK(world.run({0x0f, 0x05}));
  EXPECT_EQ(world.state.rip, 0xffffffff81000000u);
  EXPECT_EQ(world.state.gpr[kRcx], DeliveryWorld::kProgram + 2);
  EXPECT_EQ(world.state.gpr[kR11], 0x40242u);
  EXPECT_EQ(world.state.rflags, rflags::kFixed1 | rflags::kZf);
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x10, 0xa09b, 0xffffffff, 0}));
  EXPECT_EQ(world.state.segment[kSs], (Segment{0x18, 0xc093, 0xffffffff, 0}));
  EXPECT_EQ(world.state.cpl(), 0u);
  EXPECT_EQ(world.state.gpr[kRsp], DeliveryWorld::kStack3);
  EXPECT_GT(world.port.mode_changes, 0u);
}

TEST(Syscall, HasToBeEnabledAndIn64BitCode) {
  DeliveryWorld world = syscall_world(3);
  world.state.msr.efer &= ~efer::kSce;
  EXPECT_FAULT(world.run({0x0f, 0x05}), Vector::kUD);
  DeliveryWorld compatibility = syscall_world(3, false);
  EXPECT_FAULT(compatibility.run({0x0f, 0x05}), Vector::kUD);
}

TEST(Syscall, OnAmdWorksInCompatibilityMode) {
  DeliveryWorld world = syscall_world(3, false);
  world.port.make_amd();
  world.state.msr.cstar = 0xffffffff81003000;
  EXPECT_OK(world.run({0x0f, 0x05}));
  EXPECT_EQ(world.state.rip, 0xffffffff81003000u);
  EXPECT_TRUE(world.state.code64());
  DeliveryWorld sysenter = syscall_world(3, false);
  sysenter.port.make_amd();
  EXPECT_FAULT(sysenter.run({0x0f, 0x34}), Vector::kUD);
}

TEST(Sysret, To64BitCode) {
  DeliveryWorld world = syscall_world(0);
  world.state.gpr[kRcx] = 0x7fff00001234;
  world.state.gpr[kR11] = ~0ull;
  EXPECT_OK(world.run({0x48, 0x0f, 0x07}));
  EXPECT_EQ(world.state.rip, 0x7fff00001234u);
  EXPECT_EQ(world.state.rflags, 0x3c7fd7u);  // but RF and VM
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x33, 0xa0fb, 0xffffffff, 0}));
  EXPECT_EQ(world.state.segment[kSs], (Segment{0x2b, 0xc0f3, 0xffffffff, 0}));
  EXPECT_EQ(world.state.cpl(), 3u);
}

TEST(Sysret, ToCompatibilityCode) {
  DeliveryWorld world = syscall_world(0);
  world.state.gpr[kRcx] = 0x1'0000'1234;
  EXPECT_OK(world.run({0x0f, 0x07}));
  EXPECT_EQ(world.state.rip, 0x1234u);
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x23, 0xc0fb, 0xffffffff, 0}));
  EXPECT_EQ(world.state.segment[kSs].selector, 0x2b);
}

TEST(Sysret, TrapsBehindItselfWhereItSetsTf) {
  DeliveryWorld world = syscall_world(0);
  world.state.gpr[kRcx] = 0x1234;
  world.state.gpr[kR11] = rflags::kTf;
  EXPECT_OK(world.run({0x0f, 0x07}));
  EXPECT_EQ(world.state.rip, 0x1234u);
  EXPECT_EQ(world.state.pending_debug, dr6::kBs);
  DeliveryWorld quiet = syscall_world(0);
  quiet.state.gpr[kRcx] = 0x1234;
  quiet.state.gpr[kR11] = rflags::kIf;
  EXPECT_OK(quiet.run({0x0f, 0x07}));
  EXPECT_EQ(quiet.state.pending_debug, 0u);
}

TEST(Sysret, NeedsLevel0AndACanonicalTarget) {
  DeliveryWorld user = syscall_world(3);
  EXPECT_FAULT(user.run({0x48, 0x0f, 0x07}), Vector::kGP, 0);
  DeliveryWorld world = syscall_world(0);
  world.state.gpr[kRcx] = 0x0000'8000'0000'0000;
  const CpuState before = world.state;
  EXPECT_FAULT(world.run({0x48, 0x0f, 0x07}), Vector::kGP, 0);
  EXPECT_EQ(world.state, before);  // still on the kernel's side
}

TEST(Sysenter, FromCompatibilityModeEnters64BitCode) {
  DeliveryWorld world = syscall_world(3, false);
  world.state.rflags |= rflags::kIf;
  EXPECT_OK(world.run({0x0f, 0x34}));
  EXPECT_EQ(world.state.rip, 0xffffffff81002000u);
  EXPECT_EQ(world.state.gpr[kRsp], 0xffffc90000001000u);
  EXPECT_EQ(world.state.rflags, rflags::kFixed1);
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x10, 0xa09b, 0xffffffff, 0}));
  EXPECT_EQ(world.state.segment[kSs].selector, 0x18);
  EXPECT_EQ(world.state.cpl(), 0u);
}

TEST(Sysenter, InProtectedModeUses32Bits) {
  DeliveryWorld world = syscall_world(3, false);
  world.state.msr.efer = 0;
  EXPECT_OK(world.run({0x0f, 0x34}));
  EXPECT_EQ(world.state.rip, 0x81002000u);
  EXPECT_EQ(world.state.gpr[kRsp], 0x1000u);
  EXPECT_EQ(world.state.segment[kCs].access, 0xc09bu);
}

TEST(Sysenter, WithoutACodeSegmentFaults) {
  DeliveryWorld world = syscall_world(3, false);
  world.state.msr.sysenter_cs = 3;
  EXPECT_FAULT(world.run({0x0f, 0x34}), Vector::kGP, 0);
  DeliveryWorld real;
  real.enter_real();
  real.state.msr.sysenter_cs = 0x10;
  EXPECT_FAULT(real.run({0x0f, 0x34}), Vector::kGP, 0);
}

TEST(Sysexit, TakesStackAndTargetFromRegisters) {
  DeliveryWorld world = syscall_world(0);
  world.state.gpr[kRcx] = 0x7fff00005678;
  world.state.gpr[kRdx] = 0x7fff00001234;
  EXPECT_OK(world.run({0x48, 0x0f, 0x35}));
  EXPECT_EQ(world.state.gpr[kRsp], 0x7fff00005678u);
  EXPECT_EQ(world.state.rip, 0x7fff00001234u);
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x33, 0xa0fb, 0xffffffff, 0}));
  EXPECT_EQ(world.state.segment[kSs], (Segment{0x3b, 0xc0f3, 0xffffffff, 0}));
}

TEST(Sysexit, To32BitCodeAndItsChecks) {
  DeliveryWorld world = syscall_world(0);
  world.state.gpr[kRdx] = 0x8000'0000'0000'0000;
  EXPECT_FAULT(world.run({0x48, 0x0f, 0x35}), Vector::kGP, 0);
  EXPECT_OK(world.run({0x0f, 0x35}));
  EXPECT_EQ(world.state.rip, 0u);
  EXPECT_EQ(world.state.segment[kCs], (Segment{0x23, 0xc0fb, 0xffffffff, 0}));
  EXPECT_EQ(world.state.segment[kSs].selector, 0x2b);
  EXPECT_FAULT(world.run({0x0f, 0x35}), Vector::kGP, 0);  // level 3 now
}

}  // namespace
}  // namespace vireo::x86
