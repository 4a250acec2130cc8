#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

using W = SemanticsWorld;

TEST(Push, OfTheStackPointerStoresItsOldValue) {
  W w;
  EXPECT_TRUE(w.run({0x54}));
  EXPECT_EQ(w.port.peek<std::uint64_t>(W::kStack - 8), W::kStack);
  EXPECT_TRUE(w.run({0x5c}));
  EXPECT_EQ(w.state.gpr[kRsp], W::kStack);
}

TEST(Push, WithAnOperandPrefixIs16BitsWideIn64BitCode) {
  W w;
  w.state.gpr[kRax] = 0x1234;
  EXPECT_TRUE(w.run({0x66, 0x50}));
  EXPECT_EQ(w.state.gpr[kRsp], W::kStack - 2);
  EXPECT_EQ(w.port.peek<std::uint16_t>(W::kStack - 2), 0x1234);
}

TEST(Push, ThatFaultsMovesNothing) {
  W w;
  w.port.write_protect(W::kStack - 8);
  EXPECT_EQ(w.fault_of({0x50}), (Fault{Vector::kPF, 3, W::kStack - 8}));
  w.state.gpr[kRsp] = 0x800000000008;
  EXPECT_EQ(w.fault_of({0x50}), (Fault{Vector::kSS}));
}

TEST(Push, OutsideTheStackSegmentIsAStackFault) {
  W w;
  w.make_legacy(true);
  w.state.segment[kSs].limit = W::kStack - 2;
  EXPECT_EQ(w.fault_of({0x50}), (Fault{Vector::kSS}));
}

TEST(Push, A16BitStackWrapsAndKeepsTheUpperHalfOfEsp) {
  W w;
  w.make_legacy(false);
  w.state.gpr[kRsp] = 0x12340000;
  w.state.gpr[kRax] = 0xbeef;
  EXPECT_TRUE(w.run({0x50}));
  EXPECT_EQ(w.state.gpr[kRsp], 0x1234fffeu);
  EXPECT_EQ(w.port.peek<std::uint16_t>(0xfffe), 0xbeef);
}

TEST(Pop, ToMemoryComputesTheAddressWithTheNewStackPointer) {
  W w;
  w.port.poke<std::uint64_t>(W::kStack, 77);
  EXPECT_TRUE(w.run({0x8f, 0x04, 0x24}));  // pop qword [rsp]
  EXPECT_EQ(w.port.peek<std::uint64_t>(W::kStack + 8), 77u);
  EXPECT_EQ(w.state.gpr[kRsp], W::kStack + 8);
}

TEST(Pop, ToMemoryThatCannotBeWrittenKeepsTheStackPointer) {
  W w;
  w.state.gpr[kRbx] = W::kData;
  w.port.write_protect(W::kData);
  EXPECT_EQ(w.fault_of({0x8f, 0x03}).address, W::kData);
}

TEST(Pusha, AndPopaLeaveEspOut) {
  W w;
  w.make_legacy(true);
  for (unsigned n = 0; n < 8; ++n)
    if (n != kRsp) w.state.gpr[n] = 0x100 + n;
  EXPECT_TRUE(w.run({0x60}));
  EXPECT_EQ(w.state.gpr[kRsp], W::kStack - 32);
  EXPECT_EQ(w.port.peek<std::uint32_t>(W::kStack - 20), W::kStack);
  EXPECT_EQ(w.port.peek<std::uint32_t>(W::kStack - 32), 0x107u);
  const auto before = w.state.gpr;
  for (unsigned n = 0; n < 8; ++n)
    if (n != kRsp) w.state.gpr[n] = 0;
  EXPECT_TRUE(w.run({0x61}));
  for (unsigned n = 0; n < 8; ++n)
    EXPECT_EQ(w.state.gpr[n], n == kRsp ? W::kStack : before[n]) << n;
}

TEST(Popa, ThatFaultsHalfWayChangesNoRegister) {
  W w;
  w.make_legacy(true);
  w.state.gpr[kRsp] = 0x8ff0;
  w.port.take_away(0x9000);
  EXPECT_EQ(w.fault_of({0x61}).address, 0x9000u);
}

TEST(Pusha, ThatFaultsHalfWayKeepsEsp) {
  W w;
  w.make_legacy(true);
  w.state.gpr[kRsp] = 0x9010;
  w.port.write_protect(0x8fff);
  EXPECT_FALSE(w.run({0x60}));
  EXPECT_EQ(w.state.gpr[kRsp], 0x9010u);
}

TEST(Enter, BuildsAFrameThatLeaveTakesDown) {
  W w;
  w.state.gpr[kRbp] = 0x1111;
  EXPECT_TRUE(w.run({0xc8, 0x20, 0x00, 0x00}));
  EXPECT_EQ(w.state.gpr[kRbp], W::kStack - 8);
  EXPECT_EQ(w.state.gpr[kRsp], W::kStack - 8 - 0x20);
  EXPECT_EQ(w.port.peek<std::uint64_t>(W::kStack - 8), 0x1111u);
  EXPECT_TRUE(w.run({0xc9}));
  EXPECT_EQ(w.state.gpr[kRbp], 0x1111u);
  EXPECT_EQ(w.state.gpr[kRsp], W::kStack);
}

TEST(Enter, CopiesTheDisplayOfEnclosingProcedures) {
  W w;
  w.state.gpr[kRbp] = W::kData;
  w.port.poke<std::uint64_t>(W::kData - 8, 0xa1);
  w.port.poke<std::uint64_t>(W::kData - 16, 0xa2);
  EXPECT_TRUE(w.run({0xc8, 0x00, 0x00, 0x23}));  // level 3 modulo 32
  const std::uint64_t frame = W::kStack - 8;
  EXPECT_EQ(w.port.peek<std::uint64_t>(frame - 8), 0xa1u);
  EXPECT_EQ(w.port.peek<std::uint64_t>(frame - 16), 0xa2u);
  EXPECT_EQ(w.port.peek<std::uint64_t>(frame - 24), frame);
  EXPECT_EQ(w.state.gpr[kRsp], frame - 24);
  EXPECT_EQ(w.state.gpr[kRbp], frame);
}

TEST(Enter, WhoseNewTopCannotBeWrittenChangesNoRegister) {
  W w;
  w.port.write_protect(W::kStack - 0x1008);
  const auto before = w.state.gpr;
  EXPECT_EQ(w.run({0xc8, 0x00, 0x10, 0x00}).error().address, W::kStack - 0x1008);
  EXPECT_EQ(w.state.gpr, before);
}

TEST(Leave, ThatFaultsKeepsTheStackPointer) {
  W w;
  w.state.gpr[kRbp] = 0x3000;
  w.port.take_away(0x3000);
  EXPECT_EQ(w.fault_of({0xc9}).address, 0x3000u);
}

}  // namespace
}  // namespace vireo::x86
