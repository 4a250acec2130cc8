#include "x86/semantics/operands.h"

#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

using W = SemanticsWorld;

OrFault<> read(const W& w, SegmentIndex segment, std::uint64_t offset, std::size_t size,
               Use use = Use::kRead) {
  TRY(linear_address(w.state, segment, offset, size, use));
  return Unit{};
}

TEST(LinearAddress, In64BitCodeHasBasesInFsAndGsOnly) {
  W w;
  for (Segment& segment : w.state.segment) segment.base = 0x100;
  EXPECT_EQ(linear_address(w.state, kDs, 5, 1, Use::kRead).value(), LinearAddr{5});
  EXPECT_EQ(linear_address(w.state, kFs, 5, 1, Use::kRead).value(), LinearAddr{0x105});
}

TEST(LinearAddress, EveryByteMustBeCanonical) {
  W w;
  EXPECT_TRUE(read(w, kDs, 0x7ffffffffff8, 8));
  EXPECT_EQ(read(w, kDs, 0x7ffffffffff9, 8).error(), (Fault{Vector::kGP}));
  EXPECT_EQ(read(w, kSs, 0x7ffffffffff9, 8).error(), (Fault{Vector::kSS}));
  EXPECT_TRUE(read(w, kDs, 0xffff800000000000, 8));
  EXPECT_FALSE(read(w, kDs, 0xffff7fffffffffff, 8));
  w.state.cr4 |= cr4::kLa57;
  EXPECT_TRUE(read(w, kDs, 0x7ffffffffff9, 8));
}

TEST(LinearAddress, LimitsCountTheLastByte) {
  W w;
  w.make_legacy(true);
  w.state.segment[kDs].limit = 0x1003;
  EXPECT_TRUE(read(w, kDs, 0x1000, 4));
  EXPECT_FALSE(read(w, kDs, 0x1001, 4));
  EXPECT_TRUE(read(w, kDs, 0x1003, 1));
}

TEST(LinearAddress, ExpandDownSegmentsBeginBehindTheLimit) {
  W w;
  w.make_legacy(true);
  w.state.segment[kDs] = {0x10, 0x4097, 0x1fff, 0};
  EXPECT_FALSE(read(w, kDs, 0x1fff, 1));
  EXPECT_TRUE(read(w, kDs, 0x2000, 4));
  EXPECT_TRUE(read(w, kDs, 0xfffffffc, 4));
  EXPECT_FALSE(read(w, kDs, 0xfffffffd, 4));
  w.state.segment[kDs].access &= ~Segment::kBig;
  EXPECT_FALSE(read(w, kDs, 0xfffd, 4));
}

TEST(LinearAddress, TypesAreCheckedInProtectedModeOnly) {
  W w;
  w.make_legacy(true);
  w.state.segment[kDs].access = 0xc091;  // read-only
  EXPECT_TRUE(read(w, kDs, 0, 1));
  EXPECT_FALSE(read(w, kDs, 0, 1, Use::kWrite));
  w.state.segment[kDs].access = 0xc099;  // execute-only
  EXPECT_FALSE(read(w, kDs, 0, 1));
  w.state.segment[kDs].access = 0xc093 | Segment::kUnusable;
  EXPECT_FALSE(read(w, kDs, 0, 1));
  w.state.cr0 &= ~cr0::kPe;
  w.state.segment[kDs].access = 0x9b;
  EXPECT_TRUE(read(w, kDs, 0, 1, Use::kWrite));
}

TEST(LinearAddress, WrapsAt4GiBOutside64BitCode) {
  W w;
  w.make_legacy(true);
  w.state.segment[kDs].base = 0xfffff000;
  EXPECT_EQ(linear_address(w.state, kDs, 0x1234, 1, Use::kRead).value(), LinearAddr{0x234});
}

TEST(EffectiveAddress, IsCutToTheAddressSize) {
  W w;
  w.state.gpr[kRbx] = 0xffffffff;
  w.state.gpr[kRcx] = 2;
  EXPECT_TRUE(w.run({0x67, 0x8b, 0x04, 0x8b}));  // mov eax, [ebx + ecx * 4]: 7
  w.state.gpr[kRbx] = 0;
  w.port.poke<std::uint32_t>(W::kCode + 7 + 0x20, 0x55);
  EXPECT_TRUE(w.run({0x8b, 0x05, 0x1d, 0x00, 0x00, 0x00}));
  EXPECT_EQ(w.state.rip, W::kCode + 10);
  EXPECT_EQ(w.state.gpr[kRax], 0x55u);
}

TEST(BranchTo, CutsToTheOperandSizeOutside64BitCode) {
  W w;
  w.make_legacy(true);
  EXPECT_TRUE(branch_to(w.state, 0x12345678, 2));
  EXPECT_EQ(w.state.rip, 0x5678u);
  w.state.segment[kCs].limit = 0xfff;
  EXPECT_FALSE(branch_to(w.state, 0x1000, 4));
  EXPECT_EQ(w.state.rip, 0x5678u);
}

TEST(Registers, WritesHaveTheWidthOfTheOperand) {
  CpuState state;
  state.gpr[kRax] = ~0ull;
  write_gpr(state, {OperandKind::kGprHigh, kRax, 1}, 0);
  EXPECT_EQ(state.gpr[kRax], 0xffffffffffff00ff);
  write_gpr(state, {OperandKind::kGpr, kRax, 2}, 0x1234);
  EXPECT_EQ(state.gpr[kRax], 0xffffffffffff1234);
  EXPECT_EQ(read_gpr(state, {OperandKind::kGprHigh, kRax, 1}), 0x12u);
  write_gpr(state, {OperandKind::kGpr, kRax, 4}, 5);
  EXPECT_EQ(state.gpr[kRax], 5u);
}

}  // namespace
}  // namespace vireo::x86
