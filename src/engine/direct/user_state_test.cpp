#include "engine/direct/user_state.h"

#include <gtest/gtest.h>

#include <vector>

#include "x86/control_registers.h"
#include "x86/flags.h"

namespace vireo::engine::direct {
namespace {

/// A program as Linux runs it.
x86::CpuState program() {
  x86::CpuState state;
  state.cr0 = x86::cr0::kPe | x86::cr0::kPg | x86::cr0::kNe | x86::cr0::kWp;
  state.cr4 = x86::cr4::kPae | x86::cr4::kOsfxsr | x86::cr4::kOsxmmexcpt;
  state.msr.efer = x86::efer::kLme | x86::efer::kLma;
  state.xcr0 = x86::xcr0::kX87 | x86::xcr0::kSse | x86::xcr0::kAvx;
  state.segment[x86::kCs] = {0x33, 0xa0fb, 0xffffffff, 0};
  state.segment[x86::kSs] = {0x2b, 0xc0f3, 0xffffffff, 0};
  state.rflags = x86::rflags::kFixed1 | x86::rflags::kIf;
  state.rip = 0x401000;
  return state;
}

TEST(UserState, AProgramOfLinuxRunsAsAProcess) {
  ASSERT_EQ(program().cpl(), 3u);
  ASSERT_TRUE(program().code64());
  EXPECT_TRUE(runs_as_a_process(program(), true));
}

TEST(UserState, WhatAProcessCannotHaveDoesNot) {
  const auto refuses = [](auto change) {
    x86::CpuState state = program();
    change(state);
    return !runs_as_a_process(state, true);
  };
  EXPECT_TRUE(refuses([](auto& s) { s.segment[x86::kSs].access = 0xc093; }));
  EXPECT_TRUE(refuses([](auto& s) { s.segment[x86::kCs].access = 0xc0fb; }));
  EXPECT_TRUE(refuses([](auto& s) { s.rflags &= ~std::uint64_t{x86::rflags::kIf}; }));
  EXPECT_TRUE(refuses([](auto& s) { s.rflags |= x86::rflags::kTf; }));
  EXPECT_TRUE(refuses([](auto& s) { s.rflags |= x86::rflags::kIopl; }));
  EXPECT_TRUE(refuses([](auto& s) { s.rflags |= x86::rflags::kAc; }));
  EXPECT_TRUE(refuses([](auto& s) { s.cr0 |= x86::cr0::kTs; }));
  EXPECT_TRUE(refuses([](auto& s) { s.cr0 |= x86::cr0::kEm; }));
  EXPECT_TRUE(refuses([](auto& s) { s.cr0 &= ~std::uint64_t{x86::cr0::kNe}; }));
  EXPECT_TRUE(refuses([](auto& s) { s.cr4 &= ~std::uint64_t{x86::cr4::kOsfxsr}; }));
  EXPECT_TRUE(refuses([](auto& s) { s.xcr0 = x86::xcr0::kX87 | x86::xcr0::kSse; }));
  EXPECT_TRUE(refuses([](auto& s) { s.dr7 |= 1; }));
  EXPECT_TRUE(refuses([](auto& s) { s.pending_debug = 1; }));
  EXPECT_TRUE(refuses([](auto& s) { s.mov_ss_shadow = 1; }));
  EXPECT_TRUE(refuses([](auto& s) { s.cr4 |= x86::cr4::kPke, s.pkru = 1; }));
  EXPECT_TRUE(refuses([](auto& s) { s.segment[x86::kFs].base = 0xffff'8000'0000'0000; }));
  EXPECT_TRUE(refuses([](auto& s) { s.rip = 0xffff'ffff'ff60'0000; }));
}

TEST(UserState, RegistersGoThereAndBack) {
  x86::CpuState state = program();
  for (unsigned i = 0; i < 16; ++i) state.gpr[i] = 0x1111111111111111ull * i;
  state.segment[x86::kFs].base = 0x7f0000001000;
  state.segment[x86::kGs].base = 0x2000;
  state.rflags |= x86::rflags::kCf | x86::rflags::kDf;
  const auto registers = to_registers(state);
  EXPECT_EQ(registers.r10, 0xaaaaaaaaaaaaaaaa);
  EXPECT_EQ(registers.rsp, 0x4444444444444444u);
  x86::CpuState back = program();
  from_registers(registers, back);
  EXPECT_EQ(back, state);
}

TEST(UserState, OnlyWhatProgramsCanChangeComesBack) {
  x86::CpuState state = program();
  auto registers = to_registers(state);
  registers.eflags = x86::rflags::kAll;
  from_registers(registers, state);
  EXPECT_EQ(state.rflags & x86::rflags::kIopl, 0u);
  EXPECT_EQ(state.rflags & x86::rflags::kVm, 0u);
  EXPECT_NE(state.rflags & x86::rflags::kId, 0u);
}

TEST(UserState, VectorsGoThereAndBack) {
  std::vector<std::byte> image(2696);
  x86::FpuState fpu;
  for (unsigned i = 0; i < 16; ++i) {
    fpu.xmm[i] = {i, ~std::uint64_t{i}};
    fpu.ymm_high[i] = {i * 3, i * 5};
  }
  fpu.st[2] = {0x8000000000000000, 0x3fff};
  fpu.control = 0x27f;
  fpu.tag = 4;
  fpu.mxcsr = 0x1fa0;
  x86::FpuState back;
  to_image(fpu, image);
  from_image(image, back);
  EXPECT_EQ(back, fpu);
  fpu.ymm_high = {};  // not in the image then
  to_image(fpu, image);
  from_image(image, back);
  EXPECT_EQ(back, fpu);
}

TEST(UserState, PartsThatTheHostLeavesOutAreInitial) {
  std::vector<std::byte> image(2696, std::byte{0xff});
  constexpr std::size_t kKnown = 512, kMxcsr = 24;
  std::fill_n(image.begin() + kKnown, 64, std::byte{0});
  std::fill_n(image.begin() + kMxcsr, 4, std::byte{0});
  x86::FpuState fpu;
  fpu.xmm[3] = {1, 2};
  fpu.ymm_high[3] = {1, 2};
  from_image(image, fpu);
  x86::FpuState initial;
  EXPECT_EQ(fpu.xmm, initial.xmm);
  EXPECT_EQ(fpu.ymm_high, initial.ymm_high);
  EXPECT_EQ(fpu.st, initial.st);
  EXPECT_EQ(fpu.control, initial.control);
}

}  // namespace
}  // namespace vireo::engine::direct
