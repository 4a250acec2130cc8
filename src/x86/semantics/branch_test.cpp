#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

using W = SemanticsWorld;

TEST(Jump, RelativeCountsFromTheNextInstruction) {
  W w;
  EXPECT_TRUE(w.run({0xeb, 0xfe}));
  EXPECT_EQ(w.state.rip, W::kCode);
  EXPECT_TRUE(w.run({0xe9, 0x00, 0x10, 0x00, 0x00}));
  EXPECT_EQ(w.state.rip, W::kCode + 0x1005);
}

TEST(Jump, OutOfTheCodeSegmentFaultsAtTheJump) {
  W w;
  w.make_legacy(true);
  w.state.segment[kCs].limit = 0x1fff;
  EXPECT_EQ(w.fault_of({0xe9, 0x00, 0x10, 0x00, 0x00}), (Fault{Vector::kGP}));
  w.make_legacy(false);
  EXPECT_TRUE(w.run({0xe9, 0x00, 0xf0}));  // 0x1003 + 0xf000 wraps at 16 bits
  EXPECT_EQ(w.state.rip, 0x0003u);
}

TEST(Jump, ToAnAddressThatIsNotCanonicalFaults) {
  W w;
  w.state.gpr[kRax] = 0x800000000000;
  EXPECT_EQ(w.fault_of({0xff, 0xe0}), (Fault{Vector::kGP}));
}

TEST(JumpIf, IsTakenOnItsConditionOnly) {
  W w;
  EXPECT_TRUE(w.run({0x74, 0x10}));
  EXPECT_EQ(w.state.rip, W::kCode + 2);
  w.state.rflags |= rflags::kZf;
  EXPECT_TRUE(w.run({0x74, 0x10}));
  EXPECT_EQ(w.state.rip, W::kCode + 2 + 2 + 0x10);
}

TEST(Call, AndRetComeBack) {
  W w;
  EXPECT_TRUE(w.run({0xe8, 0x00, 0x01, 0x00, 0x00}));
  EXPECT_EQ(w.state.rip, W::kCode + 0x105);
  EXPECT_TRUE(w.run({0xc2, 0x10, 0x00}));
  EXPECT_EQ(w.state.rip, W::kCode + 5);
  EXPECT_EQ(w.state.gpr[kRsp], W::kStack + 0x10);
}

TEST(Call, ThatCannotPushOrBranchChangesNothing) {
  W w;
  w.port.write_protect(W::kStack - 8);
  EXPECT_EQ(w.fault_of({0xe8, 0, 0, 0, 0}).address, W::kStack - 8);
  W other;
  other.state.gpr[kRax] = 0x800000000000;
  EXPECT_EQ(other.fault_of({0xff, 0xd0}), (Fault{Vector::kGP}));
}

TEST(Call, ThroughTheStackPointerReadsBeforeItPushes) {
  W w;
  w.port.poke<std::uint64_t>(W::kStack, 0x2222);
  EXPECT_TRUE(w.run({0xff, 0x14, 0x24}));  // call [rsp]
  EXPECT_EQ(w.state.rip, 0x2222u);
}

TEST(Ret, ToAnAddressThatIsNotCanonicalKeepsTheStack) {
  W w;
  w.port.poke<std::uint64_t>(W::kStack, 0x8000000000000000);
  EXPECT_EQ(w.fault_of({0xc3}), (Fault{Vector::kGP}));
}

TEST(Loop, CountsInTheAddressSizeAndTouchesNoFlag) {
  W w;
  w.state.gpr[kRcx] = 0x1'0000'0001;
  w.state.rflags |= rflags::kZf;
  EXPECT_TRUE(w.run({0x67, 0xe2, 0x10}));  // loop with ECX
  EXPECT_EQ(w.state.rip, W::kCode + 3);
  EXPECT_EQ(w.state.gpr[kRcx], 0u);
  EXPECT_TRUE(w.flag(rflags::kZf));
  EXPECT_TRUE(w.run({0xe2, 0x10}));
  EXPECT_EQ(w.state.gpr[kRcx], ~0ull);
  EXPECT_EQ(w.state.rip, W::kCode + 5 + 0x10);
}

TEST(Loop, EAndNeLookAtZfToo) {
  for (const bool zero : {false, true}) {
    W w;
    w.state.gpr[kRcx] = 5;
    if (zero) w.state.rflags |= rflags::kZf;
    EXPECT_TRUE(w.run({0xe1, 0x10}));
    EXPECT_EQ(w.state.rip == W::kCode + 0x12, zero);
    w.state.rip = W::kCode;
    EXPECT_TRUE(w.run({0xe0, 0x10}));
    EXPECT_EQ(w.state.rip == W::kCode + 0x12, !zero);
    EXPECT_EQ(w.state.gpr[kRcx], 3u);
  }
}

TEST(Loop, WhoseTargetFaultsDoesNotCount) {
  W w;
  w.make_legacy(true);
  w.state.segment[kCs].limit = 0x1010;
  w.state.gpr[kRcx] = 5;
  EXPECT_EQ(w.fault_of({0xe2, 0x7f}), (Fault{Vector::kGP}));
}

TEST(Jcxz, LooksAtTheCounterOfTheAddressSize) {
  W w;
  w.state.gpr[kRcx] = 0x1'0000'0000;
  EXPECT_TRUE(w.run({0xe3, 0x10}));
  EXPECT_EQ(w.state.rip, W::kCode + 2);
  EXPECT_TRUE(w.run({0x67, 0xe3, 0x10}));
  EXPECT_EQ(w.state.rip, W::kCode + 5 + 0x10);
}

}  // namespace
}  // namespace vireo::x86
