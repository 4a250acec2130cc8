#include "engine/translator/superblock.h"

#include <gtest/gtest.h>
#include <xbyak/xbyak.h>

#include <array>
#include <functional>

#include "x86/cpu_state.h"
#include "x86/cpuid/cpuid_model.h"

namespace vireo::engine::translator {
namespace {

using Guest = Xbyak::CodeGenerator;
using namespace Xbyak::util;

constexpr std::uint16_t kStart = 0x100;
constexpr std::uint16_t kAll = x86::rflags::kArithmetic, kZf = x86::rflags::kZf,
                        kCf = x86::rflags::kCf;
constexpr Mode kUser{true, true, true, false, true};

Superblock read(const std::function<void(Guest&)>& write, std::uint16_t start = kStart,
                Mode mode = kUser, bool exact_flags = false) {
  std::array<std::uint8_t, kPageSize> page{};
  page.fill(0x90);
  Guest guest(kPageSize - start, page.data() + start);
  write(guest);
  const auto model = x86::CpuidModel::parse("v3", {}).value();
  x86::DecodeCache decoder(model.features());
  return SuperblockReader(page, decoder, exact_flags).read(start, mode);
}

TEST(Superblock, AnInstructionOnTwoPagesStandsAlone) {
  std::array<std::uint8_t, kPageSize + x86::kMaxInsnLength> code{};
  code.fill(0x90);
  Guest guest(kPageSize, code.data() + kPageSize - 4);
  guest.jmp(code.data() + kPageSize - 2), guest.add(eax, 0x12345678), guest.nop();
  code[kPageSize - 4] = 0x75, code[kPageSize - 3] = 0x00;  // jne to the next instruction
  const auto model = x86::CpuidModel::parse("v3", {}).value();
  x86::DecodeCache decoder(model.features());
  SuperblockReader reader(code, decoder, false);
  const Superblock before = reader.read(kPageSize - 4, kUser);
  EXPECT_EQ(before.steps.size(), 1u);
  EXPECT_TRUE(before.falls_through && before.next_on_two_pages);
  EXPECT_TRUE(before.steps[0].target_on_two_pages);
  EXPECT_TRUE(reader.read(kPageSize - 2, kUser).steps.empty());
  const Superblock across = reader.read_across(kPageSize - 2, kUser);
  ASSERT_EQ(across.steps.size(), 1u);
  EXPECT_EQ(across.first, kPageSize - 2);
  EXPECT_EQ(across.last, kPageSize + 2);
  EXPECT_EQ(across.next, kPageSize + 3);
  EXPECT_EQ(across.steps[0].flags_live, kAll);
  EXPECT_TRUE(reader.read_across(kPageSize - 4, kUser).steps.empty());
}

TEST(Superblock, ItEndsWithAReturn) {
  const Superblock block = read([](Guest& g) { g.inc(eax), g.ret(), g.dec(eax); });
  ASSERT_EQ(block.steps.size(), 2u);
  EXPECT_EQ(block.steps[1].kind, Kind::kReturn);
  EXPECT_FALSE(block.falls_through);
  EXPECT_EQ(block.first, kStart);
  EXPECT_EQ(block.last, kStart + 2);
}

TEST(Superblock, FlagsOnTheStackAreWithinItsSpan) {
  const Superblock block =
      read([](Guest& g) { g.xor_(eax, eax), g.push(rbx), g.pushfq(), g.popfq(), g.pop(rbx); });
  ASSERT_GE(block.steps.size(), 5u);
  EXPECT_EQ(block.stack_low, -16);
  EXPECT_EQ(block.stack_high, 0);
  for (std::size_t i = 1; i < 5; ++i) EXPECT_TRUE(block.steps[i].on_stack) << i;
  EXPECT_EQ(block.steps[2].kind, Kind::kSystem);
  EXPECT_EQ(block.steps[4].stack_offset, -8);
}

TEST(Superblock, WhereRspIsPoppedTheStackIsLost) {
  const Superblock block = read([](Guest& g) { g.xor_(eax, eax), g.pop(rsp), g.pop(rbx); });
  ASSERT_EQ(block.steps.size(), 2u);
  EXPECT_TRUE(block.falls_through);
}

TEST(Superblock, ABitAnywhereIsNotCopied) {
  const Superblock block = read([](Guest& g) {
    g.bt(dword[rdi], eax), g.bts(qword[rdi], rsp);
    g.db(0x67), g.bt(dword[rdi], eax);
  });
  ASSERT_GE(block.steps.size(), 3u);
  EXPECT_EQ(block.steps[0].kind, Kind::kSystem);
  EXPECT_EQ(block.steps[1].kind, Kind::kSystem);
  EXPECT_TRUE(block.steps[1].memory_written);
  EXPECT_EQ(block.steps[2].kind, Kind::kInterpret) << "an address of 32 bits";
}

TEST(Superblock, ABranchThatIsNotTakenIsPassed) {
  const Superblock block = read([](Guest& g) { g.db(0x74), g.db(0x10), g.inc(eax), g.ret(); });
  ASSERT_EQ(block.steps.size(), 3u);
  EXPECT_EQ(block.steps[0].kind, Kind::kBranch);
  EXPECT_EQ(branch_target(block.steps[0]), kStart + 0x12);
}

TEST(Superblock, AJumpForwardIsFollowed) {
  const Superblock block = read([](Guest& g) {
    g.db(0xeb), g.db(2), g.ud2();  // jmp over
    g.ret();
  });
  ASSERT_EQ(block.steps.size(), 2u);
  EXPECT_EQ(block.steps[0].kind, Kind::kNothing);
  EXPECT_EQ(block.steps[1].kind, Kind::kReturn);
  EXPECT_EQ(block.steps[1].offset, kStart + 4);
}

TEST(Superblock, AJumpBackwardIntoItEndsIt) {
  const Superblock block =
      read([](Guest& g) { g.inc(ebx), g.inc(eax), g.db(0xeb), g.db(0xfc), g.ret(); });
  ASSERT_EQ(block.steps.size(), 3u);
  EXPECT_EQ(block.steps[2].kind, Kind::kJump);
  EXPECT_EQ(branch_target(block.steps[2]), kStart + 2);
}

TEST(Superblock, AJumpBackToItsStartIsFollowedSomeRounds) {
  const Superblock block = read([](Guest& g) { g.inc(eax), g.db(0xeb), g.db(0xfc), g.ret(); });
  ASSERT_EQ(block.steps.size(), 2 * Superblock::kMaxRounds);
  EXPECT_EQ(block.steps[1].kind, Kind::kNothing);
  EXPECT_EQ(block.steps[2].offset, kStart);
  EXPECT_EQ(block.steps.back().kind, Kind::kJump);
}

TEST(Superblock, ALoopIsFollowedSomeRoundsAndThenLeft) {
  const Superblock block =
      read([](Guest& g) { g.dec(eax), g.db(0x75), g.db(0xfc), g.adc(ebx, 1), g.ret(); });
  ASSERT_EQ(block.steps.size(), 2 * Superblock::kMaxRounds + 2);
  const std::int64_t behind = kStart + 4;
  for (std::size_t i = 1; i < 2 * Superblock::kMaxRounds; i += 2) {
    const bool last = i + 1 == 2 * Superblock::kMaxRounds;
    EXPECT_EQ(block.steps[i].kind, Kind::kBranch);
    EXPECT_EQ(block.steps[i].taken_inside, !last);
    EXPECT_EQ(exit_target(block.steps[i]), last ? kStart : behind);
    EXPECT_EQ(block.steps[i].flags_live & kCf, kCf) << "ADC behind the loop wants it";
  }
  EXPECT_EQ(block.next, behind + 4);
}

TEST(Superblock, WhatDoesNotGoAround) {
  const auto rounds = [](const std::function<void(Guest&)>& body, std::uint16_t start = kStart,
                         Mode mode = kUser) {
    const Superblock block = read(
        [&](Guest& g) {
          body(g);
          const auto back = static_cast<std::uint8_t>(0 - (g.getSize() + 2));
          g.db(0x75), g.db(back);
        },
        start, mode);
    return std::ranges::count(block.steps, start, &Step::offset);
  };
  EXPECT_EQ(rounds([](Guest& g) { g.dec(eax); }), std::ptrdiff_t{Superblock::kMaxRounds});
  const auto pass = [](Guest& g, int count) {
    for (int i = 0; i < count; ++i) g.movaps(xmm0, xmm1);
    g.dec(eax);
  };
  const auto load = [&](Guest& g, int count) {
    g.movups(xmm0, ptr[rbx]);
    pass(g, count - 1);
  };
  EXPECT_EQ(rounds([&](Guest& g) { pass(g, 12); }), 3) << "as many as any superblock may have";
  EXPECT_EQ(rounds([&](Guest& g) { load(g, 12); }), 8) << "each saves a look";
  EXPECT_EQ(rounds([&](Guest& g) { load(g, 22); }), 4);
  EXPECT_EQ(rounds([&](Guest& g) { load(g, 23); }), 1) << "it saves little";
  EXPECT_EQ(rounds([](Guest& g) { g.cpuid(), g.dec(eax); }), 1) << "C++ takes longer";
  EXPECT_EQ(rounds([](Guest& g) { g.nop(30, false); }), 1) << "too long";
  EXPECT_EQ(rounds([](Guest& g) { g.dec(eax); }, kPageSize - 4), 1) << "goes on in another page";
  Mode careful = kUser;
  careful.careful = true;
  EXPECT_EQ(rounds([](Guest& g) { g.dec(eax); }, kStart, careful), 1);
}

TEST(Superblock, AJumpToItselfEndsIt) {
  const Superblock block = read([](Guest& g) { g.db(0xeb), g.db(0xfe); });
  ASSERT_EQ(block.steps.size(), 1u);
  EXPECT_EQ(block.steps[0].kind, Kind::kJump);
}

TEST(Superblock, AJumpToAnotherPageEndsIt) {
  const Superblock block = read([](Guest& g) { g.db(0xe9), g.dd(0x2000); });
  ASSERT_EQ(block.steps.size(), 1u);
  EXPECT_EQ(block.steps[0].kind, Kind::kJump);
  EXPECT_FALSE(in_page(branch_target(block.steps[0])));
}

TEST(Superblock, ItStopsInFrontOfAnInstructionThatLeavesThePage) {
  const Superblock block =
      read([](Guest& g) { g.inc(eax), g.db(0xb8); }, static_cast<std::uint16_t>(kPageSize - 3));
  ASSERT_EQ(block.steps.size(), 1u);
  EXPECT_TRUE(block.falls_through);
  EXPECT_EQ(block.next, kPageSize - 1);
}

TEST(Superblock, WithoutAWholeInstructionThereIsNone) {
  EXPECT_TRUE(
      read([](Guest& g) { g.db(0xb8); }, static_cast<std::uint16_t>(kPageSize - 1)).steps.empty());
  EXPECT_TRUE(read([](Guest& g) { g.db(0x06); }).steps.empty());
}

TEST(Superblock, ItHasALongestLength) {
  const Superblock block = read([](Guest& g) {
    for (int i = 0; i < 100; ++i) g.inc(eax);
  });
  EXPECT_EQ(block.steps.size(), Superblock::kMaxSteps);
  EXPECT_TRUE(block.falls_through);
  EXPECT_EQ(block.next, kStart + 2 * Superblock::kMaxSteps);
}

TEST(Superblock, FlagsAreDeadUpToWhatOverwritesThem) {
  const Superblock block =
      read([](Guest& g) { g.cmp(eax, ebx), g.mov(ecx, edx), g.xor_(eax, eax), g.ret(); });
  EXPECT_EQ(block.steps[0].flags_live, 0);
  EXPECT_EQ(block.steps[1].flags_live, 0);
  EXPECT_EQ(block.steps[2].flags_live, kAll);
  EXPECT_FALSE(block.flags_live_at_entry);
}

TEST(Superblock, OnlyTheFlagsThatAreReadLive) {
  const Superblock block =
      read([](Guest& g) { g.cmp(eax, ebx), g.setz(cl), g.xor_(eax, eax), g.ret(); });
  EXPECT_EQ(block.steps[0].flags_live, kZf);
  EXPECT_EQ(block.steps[1].flags_used, kZf);
}

TEST(Superblock, WhatAnInstructionKeepsLivesThroughIt) {
  // INC keeps CF.
  const Superblock block =
      read([](Guest& g) { g.cmp(eax, ebx), g.inc(ecx), g.setc(al), g.xor_(eax, eax), g.ret(); });
  EXPECT_EQ(block.steps[0].flags_live, kCf);
  EXPECT_EQ(block.steps[1].flags_used, kCf);
}

TEST(Superblock, AShiftByCountMayKeepTheFlags) {
  const Superblock block = read([](Guest& g) { g.cmp(eax, ebx), g.shl(edx, cl), g.ret(); });
  EXPECT_EQ(block.steps[0].flags_live, kAll);
}

TEST(Superblock, WhereALoopInstructionLeadsMayAskForFlags) {
  const Superblock block = read([](Guest& g) {
    g.cmp(eax, ecx), g.db(0xe2), g.db(2);  // loop over
    g.test(eax, eax), g.setl(dl), g.ret();
  });
  EXPECT_EQ(block.steps[0].flags_live, kAll);
  EXPECT_EQ(block.steps[1].flags_used, kAll);
}

TEST(Superblock, FlagsLiveIfTheTargetOfABranchReadsThem) {
  const auto code = [](bool target_reads) {
    return [target_reads](Guest& g) {
      g.test(eax, eax);
      g.db(0x74), g.db(3);        // jz to the last line
      g.xor_(eax, eax), g.ret();  // 3 bytes
      target_reads ? g.setc(al) : g.nop(3);
      g.xor_(eax, eax), g.ret();
    };
  };
  EXPECT_EQ(read(code(true)).steps[1].flags_live, kCf);
  EXPECT_EQ(read(code(false)).steps[1].flags_live, 0);
}

TEST(Superblock, ExactFlagsAllLive) {
  const Superblock block =
      read([](Guest& g) { g.cmp(eax, ebx), g.xor_(eax, eax), g.ret(); }, kStart, kUser, true);
  EXPECT_EQ(block.steps[0].flags_live, kAll);
}

TEST(Superblock, X87CodeRunsAsItIsWhereItMay) {
  const auto code = [](Guest& g) {
    g.fld(qword[rax]), g.fnstsw(ax), g.fldcw(word[rax]), g.fwait(), g.emms(), g.fninit(), g.ret();
  };
  const Superblock block = read(code);
  ASSERT_EQ(block.steps.size(), 7u);
  EXPECT_TRUE(block.steps[0].notes_pointers);
  EXPECT_FALSE(block.steps[2].notes_pointers);
  for (const std::size_t i : {0u, 1u, 2u, 4u}) EXPECT_EQ(block.steps[i].kind, Kind::kX87) << i;
  EXPECT_EQ(block.steps[3].kind, Kind::kNothing);
  EXPECT_EQ(block.steps[5].kind, Kind::kInterpret);
  Mode unmasked = kUser;
  unmasked.x87 = false;
  const Superblock slow = read(code, kStart, unmasked);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(slow.steps[i].kind, Kind::kInterpret) << i;
}

TEST(Superblock, ConversionsBetweenMmxAndSseNeedBothUnits) {
  const auto code = [](Guest& g) {
    g.cvtpi2ps(xmm0, mm1), g.cvttps2pi(mm0, ptr[rax]), g.paddb(mm0, mm1), g.ret();
  };
  const Superblock block = read(code);
  for (const std::size_t i : {0u, 1u}) {
    EXPECT_EQ(block.steps[i].kind, Kind::kX87) << i;
    EXPECT_TRUE(block.steps[i].with_vectors) << i;
  }
  EXPECT_FALSE(block.steps[2].with_vectors);
  Mode without = kUser;
  without.sse = without.avx = false;
  const Superblock slow = read(code, kStart, without);
  EXPECT_EQ(slow.steps[0].kind, Kind::kInterpret);
  EXPECT_EQ(slow.steps[1].kind, Kind::kInterpret);
  EXPECT_EQ(slow.steps[2].kind, Kind::kX87);
}

TEST(Superblock, TheSpanOfTheStackIsFromTheLowestToTheHighestByte) {
  const Superblock block = read([](Guest& g) {
    g.xor_(eax, eax), g.push(rbx), g.push(rcx), g.mov(rax, ptr[rsp + 24]), g.mov(dl, ptr[rsp]);
    g.add(rsp, 16), g.ret();
  });
  EXPECT_EQ(block.stack_low, -16);
  EXPECT_EQ(block.stack_high, 16);
  EXPECT_EQ(block.steps[3].stack_offset, -16);
  for (const std::size_t i : {1u, 2u, 3u, 4u, 6u}) EXPECT_TRUE(block.steps[i].on_stack) << i;
  EXPECT_FALSE(block.steps[0].on_stack);
}

TEST(Superblock, AnAccessFarAwayIsNotInTheSpan) {
  const Superblock block =
      read([](Guest& g) { g.xor_(eax, eax), g.push(rbx), g.mov(rax, ptr[rsp + 0x800]), g.ret(); });
  EXPECT_TRUE(block.steps[1].on_stack);
  EXPECT_FALSE(block.steps[2].on_stack);
  EXPECT_EQ(block.stack_high, 0);
}

TEST(Superblock, CarefulCodeHasNoSpan) {
  Mode careful = kUser;
  careful.careful = true;
  const Superblock block =
      read([](Guest& g) { g.xor_(eax, eax), g.push(rbx), g.ret(); }, kStart, careful);
  EXPECT_EQ(block.stack_low, block.stack_high);
  EXPECT_FALSE(block.steps[1].on_stack);
}

TEST(Superblock, BehindAnotherStackPointerIsAnotherBlock) {
  const Superblock block = read([](Guest& g) { g.mov(rsp, rbp), g.pop(rbp), g.ret(); });
  EXPECT_EQ(block.steps.size(), 1u);
  EXPECT_TRUE(block.falls_through);
}

}  // namespace
}  // namespace vireo::engine::translator
