#include <gtest/gtest.h>

#include "engine/software/vcpu_world.h"
#include "engine/translator/translator_vcpu.h"

// Code that may run anywhere goes straight to other pages, as long as they are where they were.

namespace vireo::engine::translator {
namespace {

/// A loop in one page that calls the page behind it, mapped above what 32 bits reach.
struct Neighbours : engine::test::VcpuWorld {
  static constexpr std::uint64_t kCaller = 0x7f12'3456'7000, kCallee = kCaller + 0x1000;
  static constexpr std::uint64_t kOne = 0x60000, kTwo = 0x61000, kRounds = 500;

  Neighbours() : VcpuWorld([](auto& ram) { return make_translator(ram, {.warm_after = 1}); }) {
    tables.map(kCaller, 0x50000);
    tables.map(kCallee, kOne);
    code(0x50000, {0xe8, 0xfb, 0x0f, 0, 0,             // call kCallee
                   0x48, 0xff, 0xc9, 0x75, 0xf6,       // dec rcx; jnz
                   0xf4});                             // hlt
    code(kOne, {0x48, 0x83, 0xc3, 0x01, 0xc3});        // add rbx, 1; ret
    code(kTwo, {0x48, 0x81, 0xc3, 0, 1, 0, 0, 0xc3});  // add rbx, 256; ret
    state.gpr[x86::kRbx] = 0;
  }
  void calls(std::uint64_t caller = kCaller) {
    state.rip = caller;
    state.activity = static_cast<std::uint8_t>(x86::Activity::kRunning);
    state.gpr[x86::kRcx] = kRounds;
    EXPECT_EQ(run(), ExitReason::kHalted);
  }
  std::uint64_t sum() const { return state.gpr[x86::kRbx]; }
};

TEST(PageLinks, ACallToAnotherPageIsFoundWithoutTheBranchTable) {
  Neighbours w;
  w.calls();
  EXPECT_EQ(w.sum(), w.kRounds);
  EXPECT_LT(w.counter("indirect_misses"), 20u);
  EXPECT_GE(w.counter("links"), 2u);
}

/// INVLPG says that the page behind is another one now.
TEST(PageLinks, ACallFollowsWhatIsMappedNow) {
  Neighbours w;
  w.calls();
  w.tables.map(0x70000, 0x70000);
  w.code(0x70000, {0x0f, 0x01, 0x3f, 0xff, 0xe6});  // invlpg [rdi]; jmp rsi
  for (const std::uint64_t page : {w.kTwo, w.kOne, w.kTwo}) {
    w.tables.map(w.kCallee, page);
    w.state.gpr[x86::kRdi] = w.kCallee;
    w.state.gpr[x86::kRsi] = w.kCaller;
    w.calls(0x70000);
  }
  EXPECT_EQ(w.sum(), 2 * w.kRounds + 2 * 256 * w.kRounds);
}

/// The same page of code calls different ones in two address spaces.
TEST(PageLinks, ACallFollowsTheAddressSpace) {
  for (const bool with_pcid : {false, true}) {
    Neighbours w;
    constexpr std::uint64_t kOtherRoot = 0x200000;
    const auto copy = [&w](std::uint64_t from, std::uint64_t to) {
      for (unsigned i = 0; i < 512; ++i) w.tables.put(to + 8 * i, w.tables.get(from + 8 * i));
    };
    // A second tree that differs in one entry.
    std::uint64_t table = w.tables.root(), copied = kOtherRoot;
    copy(table, copied);
    for (unsigned shift = 39; shift > 12; shift -= 9) {
      const std::uint64_t at = ((w.kCallee >> shift) & 511) * 8;
      table = w.tables.get(table + at) & ~0xfffull;
      w.tables.put(copied + at, (copied + 0x1000) | 7);
      copied += 0x1000;
      copy(table, copied);
    }
    w.tables.put(copied + ((w.kCallee >> 12) & 511) * 8, w.kTwo | 3);
    w.code(0x50000, {0x0f, 0x22, 0xd8,              // mov cr3, rax
                     0x48, 0x92,                    // xchg rax, rdx
                     0xe8, 0xf6, 0x0f, 0, 0,        // call kCallee
                     0x48, 0xff, 0xc9, 0x75, 0xf1,  // dec rcx; jnz
                     0xf4});                        // hlt
    if (with_pcid) w.state.cr4 |= x86::cr4::kPcide;
    const std::uint64_t keep = with_pcid ? 1ull << 63 : 0;
    w.state.gpr[x86::kRax] = w.tables.root() | keep;
    w.state.gpr[x86::kRdx] = kOtherRoot | keep | (with_pcid ? 1 : 0);
    w.calls();
    EXPECT_EQ(w.sum(), 257 * w.kRounds / 2) << with_pcid;
  }
}

/// One page of code at two addresses at once.
TEST(PageLinks, ACallFollowsTheAddressOfItsOwnPage) {
  Neighbours w;
  constexpr std::uint64_t kElsewhere = 0x7e00'0000'0000;
  w.tables.map(kElsewhere, 0x50000);
  w.tables.map(kElsewhere + 0x1000, w.kTwo);
  for (int i = 0; i < 3; ++i) {
    w.calls();
    w.calls(kElsewhere);
  }
  EXPECT_EQ(w.sum(), 3 * 257 * w.kRounds);
}

/// What was written over is not called any more.
TEST(PageLinks, ACallFindsTheNewCodeOfAPage) {
  Neighbours w;
  w.calls();
  w.code(w.kOne, {0x48, 0x81, 0xc3, 0, 1, 0, 0, 0xc3});  // add rbx, 256; ret
  w.calls();
  EXPECT_EQ(w.sum(), 257 * w.kRounds);
}

}  // namespace
}  // namespace vireo::engine::translator
