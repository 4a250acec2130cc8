#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "engine/translator/superblock.h"
#include "x86/cpuid/cpuid_model.h"

namespace vireo::engine::translator {
namespace {

using x86::CodeSize;

constexpr std::uint16_t kStart = 0x100;
constexpr std::uint64_t kPage = 0x5000;
constexpr unsigned kAllLimited = 0xaaa, kAllRefused = 0xfff;

Narrow flat32() { return {CodeSize::k32, true, 0, 0, 0xffffffff}; }

Superblock read(const std::vector<std::uint8_t>& code, const Narrow& narrow,
                std::uint16_t start = kStart) {
  std::array<std::uint8_t, kPageSize> page{};
  page.fill(0x90);
  std::copy(code.begin(), code.end(), page.begin() + start);
  const auto model = x86::CpuidModel::parse("v3", {}).value();
  x86::DecodeCache decoder(model.features());
  Mode mode{true, true, true, false, true};
  mode.narrow = narrow;
  return SuperblockReader(page, decoder, false).read(start, mode, kPage);
}

TEST(NarrowSuperblock, TheStackMovesByTheOperandSize) {
  // xor eax, eax; push ebx; push cx; pop dx; pop ebx; ret
  const Superblock block = read({0x31, 0xc0, 0x53, 0x66, 0x51, 0x66, 0x5a, 0x5b, 0xc3}, flat32());
  ASSERT_EQ(block.steps.size(), 6u);
  EXPECT_EQ(block.stack_low, -6);
  EXPECT_EQ(block.stack_high, 4);
  EXPECT_EQ(block.steps[4].stack_offset, -4);
  EXPECT_TRUE(block.steps[4].on_stack);
}

TEST(NarrowSuperblock, AStackThatIsNotFlatHasNoSpan) {
  Narrow narrow = flat32();
  narrow.big_stack = false;
  EXPECT_FALSE(read({0x31, 0xc0, 0x53}, narrow).steps[1].on_stack);
  narrow = flat32();
  narrow.forms = kAllLimited;
  EXPECT_FALSE(read({0x31, 0xc0, 0x53}, narrow).steps[1].on_stack);
}

TEST(NarrowSuperblock, ItEndsInFrontOfTheEndOfCs) {
  Narrow narrow = flat32();
  narrow.code_base = kPage;
  narrow.code_limit = kStart + 3;  // in the middle of the second MOV
  const Superblock block = read({0x89, 0xd8, 0x89, 0xd8, 0x89, 0xd8}, narrow);
  EXPECT_EQ(block.steps.size(), 2u);
  EXPECT_TRUE(block.falls_through);
  narrow.code_limit = kStart + 2;
  EXPECT_EQ(read({0x89, 0xd8, 0x89, 0xd8, 0x89, 0xd8}, narrow).steps.size(), 1u);
  narrow.code_limit = kStart;
  EXPECT_TRUE(read({0x89, 0xd8}, narrow).steps.empty());
}

TEST(NarrowSuperblock, BranchesOutOfCsAreForTheInterpreter) {
  Narrow narrow = flat32();
  narrow.code_base = kPage;
  narrow.code_limit = 0x1ff;
  EXPECT_EQ(read({0x74, 0x7f}, narrow).steps[0].kind, Kind::kBranch);
  EXPECT_EQ(read({0x0f, 0x84, 0, 1, 0, 0}, narrow).steps[0].kind, Kind::kInterpret);
  EXPECT_EQ(read({0x0f, 0x84, 0, 0xf0, 0xff, 0xff}, narrow).steps[0].kind, Kind::kInterpret);
}

TEST(NarrowSuperblock, BranchesThatWrapAreForTheInterpreter) {
  Narrow narrow{CodeSize::k16, false, kAllLimited, 0, 0xffffffff};
  EXPECT_EQ(read({0x74, 0x7f}, narrow).steps[0].kind, Kind::kBranch);
  EXPECT_EQ(read({0x0f, 0x84, 0, 0x90}, narrow).steps[0].kind, Kind::kInterpret);
  // 16-bit operands in 32-bit code cut EIP.
  narrow = flat32();
  narrow.code_base = 0 - 0x20000u;
  EXPECT_EQ(read({0x66, 0x0f, 0x84, 0x10, 0}, narrow).steps[0].kind, Kind::kInterpret);
}

TEST(NarrowSuperblock, WhatASegmentRefusesIsForTheInterpreter) {
  Narrow narrow = flat32();
  narrow.forms = kAllRefused;
  EXPECT_EQ(read({0x8b, 0x03}, narrow).steps[0].kind, Kind::kInterpret);
  EXPECT_EQ(read({0x53}, narrow).steps[0].kind, Kind::kInterpret);
  EXPECT_EQ(read({0x89, 0xd8}, narrow).steps[0].kind, Kind::kCopy);
  // CS may be read but not written.
  EXPECT_EQ(read({0x2e, 0x8b, 0x03}, flat32()).steps[0].kind, Kind::kCopy);
  EXPECT_EQ(read({0x2e, 0x89, 0x03}, flat32()).steps[0].kind, Kind::kInterpret);
}

}  // namespace
}  // namespace vireo::engine::translator
