#include "engine/translator/access_plan.h"

#include <gtest/gtest.h>
#include <xbyak/xbyak.h>

#include <functional>

#include "x86/cpuid/cpuid_model.h"

namespace vireo::engine::translator {
namespace {

using Guest = Xbyak::CodeGenerator;
using namespace Xbyak::util;

constexpr std::uint16_t kStart = 0x100;

Superblock plan(const std::function<void(Guest&)>& write,
                const std::vector<std::uint16_t>& alone = {}) {
  std::array<std::uint8_t, kPageSize> page{};
  Guest guest(kPageSize - kStart, page.data() + kStart);
  write(guest);
  guest.ret();
  const auto model = x86::CpuidModel::parse("v3", {}).value();
  x86::DecodeCache decoder(model.features());
  SuperblockReader reader(page, decoder, false);
  Superblock block = reader.read(kStart, {true, true, true, false, true});
  plan_accesses(block, alone);
  return block;
}

/// The steps that share a look with the given one.
std::vector<std::size_t> sharing(const Superblock& block, std::size_t with) {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < block.steps.size(); ++i)
    if (i != with && block.steps[i].look == block.steps[with].look &&
        block.steps[i].look != Step::kOwnLook)
      result.push_back(i);
  return result;
}

using Steps = std::vector<std::size_t>;

TEST(AccessPlan, OneBaseIsOneLookOverTheWholeSpan) {
  const Superblock block = plan([](Guest& g) {
    g.mov(eax, ptr[rdi + 8]), g.mov(rcx, ptr[rdi + 32]), g.mov(dl, ptr[rdi - 1]);
  });
  EXPECT_EQ(sharing(block, 0), (Steps{1, 2}));
  EXPECT_TRUE(block.steps[0].looks_for_others);
  EXPECT_FALSE(block.steps[1].looks_for_others);
  EXPECT_EQ(block.steps[0].look_low, -9);
  EXPECT_EQ(block.steps[0].look_high, 32);
  EXPECT_FALSE(block.steps[0].look_written);
}

TEST(AccessPlan, WhoStandsAloneHasHisOwn) {
  EXPECT_EQ(plan([](Guest& g) { g.mov(eax, ptr[rdi]), g.mov(ecx, ptr[rsi]); }).steps[0].look,
            Step::kOwnLook);
  const Superblock block =
      plan([](Guest& g) { g.mov(eax, ptr[rdi]), g.mov(ecx, ptr[rdi]), g.mov(edx, ptr[rdi]); },
           {kStart + 2});
  EXPECT_EQ(sharing(block, 0), Steps{2});
  EXPECT_EQ(block.steps[1].look, Step::kOwnLook);
}

TEST(AccessPlan, AnotherValueIsAnotherBase) {
  const Superblock block =
      plan([](Guest& g) { g.mov(rdi, ptr[rdi]), g.mov(eax, ptr[rdi]), g.mov(ecx, ptr[rdi]); });
  EXPECT_EQ(sharing(block, 0), Steps{});
  EXPECT_EQ(sharing(block, 1), Steps{2});
}

TEST(AccessPlan, ConstantsAreFollowed) {
  const Superblock block = plan([](Guest& g) {
    g.mov(eax, ptr[rdi]), g.lea(rsi, ptr[rdi + 16]), g.mov(eax, ptr[rsi]), g.sub(rsi, 8);
    g.mov(rdx, rsi), g.inc(rdx), g.mov(eax, ptr[rdx]), g.mov(eax, ptr[rdi + rdx]);
  });
  EXPECT_EQ(sharing(block, 0), (Steps{2, 6}));
  EXPECT_EQ(block.steps[0].look_high, 20);
}

TEST(AccessPlan, HalfARegisterIsNotFollowed) {
  const Superblock block =
      plan([](Guest& g) { g.mov(eax, ptr[rdi]), g.add(edi, 4), g.mov(ecx, ptr[rdi]); });
  EXPECT_EQ(sharing(block, 0), Steps{});
}

TEST(AccessPlan, ASpanHasAnEnd) {
  const Superblock block = plan([](Guest& g) {
    g.mov(eax, ptr[rdi]), g.mov(eax, ptr[rdi + 252]), g.mov(eax, ptr[rdi + 253]);
  });
  EXPECT_EQ(sharing(block, 0), Steps{1});
}

TEST(AccessPlan, AWriteThatIsSureToFollowIsAskedForAtOnce) {
  const Superblock block = plan([](Guest& g) { g.mov(eax, ptr[rdi]), g.mov(ptr[rdi + 4], ecx); });
  EXPECT_EQ(sharing(block, 0), Steps{1});
  EXPECT_TRUE(block.steps[0].look_written);
}

TEST(AccessPlan, AWriteBehindABranchAsksForItself) {
  const Superblock block = plan([](Guest& g) {
    Xbyak::Label out;
    g.mov(eax, ptr[rdi]), g.mov(ecx, ptr[rdi + 4]), g.jz(out), g.mov(ptr[rdi], ecx);
    g.mov(edx, ptr[rdi]), g.L(out);
  });
  EXPECT_EQ(sharing(block, 0), Steps{1});
  EXPECT_FALSE(block.steps[0].look_written);
  EXPECT_EQ(sharing(block, 3), Steps{4});
  EXPECT_TRUE(block.steps[3].looks_for_others && block.steps[3].look_written);
}

TEST(AccessPlan, ASpanBeginsWhereItsAlignedMembersSay) {
  const Superblock block = plan([](Guest& g) {
    g.movups(xmm0, ptr[rdi + 8]), g.movaps(xmm1, ptr[rdi + 32]), g.movaps(xmm2, ptr[rdi + 40]);
  });
  EXPECT_EQ(sharing(block, 0), Steps{1});  // the third can only fault
  EXPECT_EQ(block.steps[0].look_alignment, 16);
  EXPECT_EQ(block.steps[0].look_low, -8);
  EXPECT_EQ(block.steps[0].look_high, 40);
}

TEST(AccessPlan, WhatCppExecutesEndsAllThatIsKnown) {
  const Superblock block =
      plan([](Guest& g) { g.mov(eax, ptr[rdi]), g.cpuid(), g.mov(eax, ptr[rdi]); });
  EXPECT_EQ(sharing(block, 0), Steps{});
}

TEST(AccessPlan, TheInstructionBehindStiLooksForNobody) {
  const Superblock block = plan([](Guest& g) {
    g.sti(), g.mov(eax, ptr[rdi]), g.mov(eax, ptr[rdi + 4]), g.mov(eax, ptr[rdi + 8]);
  });
  EXPECT_EQ(block.steps[1].look, Step::kOwnLook);
  EXPECT_EQ(sharing(block, 2), Steps{3});
}

TEST(AccessPlan, AddressesOfOnePageShare) {
  const Superblock block = plan([](Guest& g) {
    g.mov(eax, ptr[Xbyak::RegExp(0x8000)]), g.mov(ptr[Xbyak::RegExp(0x8ff0)], ecx),
        g.mov(eax, ptr[Xbyak::RegExp(0x9000)]);
    g.mov(eax, ptr[rip + 0x10]), g.mov(eax, ptr[rip + 0x20]),
        g.mov(eax, ptr[Xbyak::RegExp(0x8ffe)]);
  });
  EXPECT_EQ(sharing(block, 0), Steps{1});
  EXPECT_EQ(sharing(block, 3), Steps{4});
  EXPECT_EQ(block.steps[5].look, Step::kOwnLook);
}

}  // namespace
}  // namespace vireo::engine::translator
