#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

using W = SemanticsWorld;
constexpr std::uint64_t kData = W::kData;

TEST(Integer, A32BitResultClearsTheUpperHalfAndSmallerOnesDoNot) {
  W w;
  w.state.gpr[kRax] = ~0ull;
  EXPECT_TRUE(w.run({0x04, 0x01}));
  EXPECT_EQ(w.state.gpr[kRax], 0xffffffffffffff00);
  EXPECT_TRUE(w.run({0x66, 0x05, 0x01, 0x00}));
  EXPECT_EQ(w.state.gpr[kRax], 0xffffffffffffff01);
  EXPECT_TRUE(w.run({0x05, 0x01, 0x00, 0x00, 0x00}));
  EXPECT_EQ(w.state.gpr[kRax], 0xffffff02u);
}

TEST(Integer, HighByteRegistersAreTheirOwn) {
  W w;
  w.state.gpr[kRax] = 0x1234;
  EXPECT_TRUE(w.run({0x00, 0xc4}));  // add ah, al
  EXPECT_EQ(w.state.gpr[kRax], 0x4634u);
}

TEST(Integer, AFaultingReadModifyWriteIsAWriteAndChangesNothing) {
  W w;
  w.state.gpr[kRbx] = kData;
  w.port.write_protect(kData);
  EXPECT_EQ(w.fault_of({0x01, 0x03}), (Fault{Vector::kPF, 3, kData}));
  EXPECT_EQ(w.fault_of({0x83, 0x03, 0x00}), (Fault{Vector::kPF, 3, kData}));  // adds nothing
  EXPECT_EQ(w.fault_of({0x0f, 0xb1, 0x0b}).error_code, 3u);  // cmpxchg that would not change it
  EXPECT_EQ(w.fault_of({0x87, 0x03}).error_code, 3u);
  EXPECT_EQ(w.fault_of({0xc1, 0x23, 0x05}).error_code, 3u);
  EXPECT_TRUE(w.run({0x3b, 0x03}));  // cmp only reads
}

TEST(Integer, AFaultOfTheSecondPageLeavesTheFirst) {
  W w;
  w.state.gpr[kRbx] = 0x4ffe;
  w.state.gpr[kRax] = 0x11111111;
  w.port.take_away(0x5000);
  EXPECT_EQ(w.fault_of({0x89, 0x03}), (Fault{Vector::kPF, 2, 0x5000}));
  EXPECT_EQ(w.fault_of({0xf0, 0x01, 0x03}), (Fault{Vector::kPF, 2, 0x5000}));
}

TEST(Locked, AnUpdateThatLosesARaceIsDoneAgain) {
  W w;
  w.state.gpr[kRbx] = kData;
  w.state.gpr[kRax] = 1;
  w.port.poke<std::uint32_t>(kData, 5);
  RacingPort port(w.port, kData, 0xffffffff);
  EXPECT_TRUE(w.run_on(port, {0xf0, 0x01, 0x03}));  // lock add [rbx], eax
  EXPECT_EQ(w.port.peek<std::uint32_t>(kData), 0u);
  EXPECT_TRUE(w.flag(rflags::kZf) && w.flag(rflags::kCf));  // of the sum that was stored
  EXPECT_EQ(port.exchanges, 2u);
}

TEST(Locked, ExchangeAndAddAnswersWithWhatItReplaced) {
  W w;
  w.state.gpr[kRbx] = kData;
  w.state.gpr[kRax] = 3;
  RacingPort port(w.port, kData, 40);
  EXPECT_TRUE(w.run_on(port, {0xf0, 0x0f, 0xc1, 0x03}));
  EXPECT_EQ(w.state.gpr[kRax], 40u);
  EXPECT_EQ(w.port.peek<std::uint32_t>(kData), 43u);
}

TEST(Locked, XchgIsLockedWithoutAPrefix) {
  W w;
  w.state.gpr[kRbx] = kData;
  w.state.gpr[kRax] = 7;
  RacingPort port(w.port, kData, 9);
  EXPECT_TRUE(w.run_on(port, {0x87, 0x03}));
  EXPECT_EQ(w.state.gpr[kRax], 9u);
  EXPECT_EQ(w.port.peek<std::uint32_t>(kData), 7u);
}

TEST(Locked, CompareAndExchangeSeesTheWordOfTheRace) {
  W w;
  w.state.gpr[kRbx] = kData;
  w.state.gpr[kRax] = 5;
  w.state.gpr[kRcx] = 6;
  w.port.poke<std::uint32_t>(kData, 5);
  RacingPort port(w.port, kData, 8);
  EXPECT_TRUE(w.run_on(port, {0xf0, 0x0f, 0xb1, 0x0b}));
  EXPECT_FALSE(w.flag(rflags::kZf));
  EXPECT_EQ(w.state.gpr[kRax], 8u);
  EXPECT_EQ(w.port.peek<std::uint32_t>(kData), 8u);
}

TEST(Locked, ADeviceIsAccessedJustOnce) {
  W w;
  w.state.gpr[kRbx] = kData;
  RacingPort port(w.port, kData, 9);
  port.device = true;
  EXPECT_TRUE(w.run_on(port, {0xf0, 0xff, 0x03}));
  EXPECT_EQ(port.exchanges, 0u);
  EXPECT_EQ(port.writes, 1u);
}

TEST(Cmpxchg, WritesTheRegisterThatChangesOnly) {
  W w;
  w.state.gpr[kRax] = 0xaaaaaaaa'00000001;
  w.state.gpr[kRbx] = 0xbbbbbbbb'00000001;
  w.state.gpr[kRcx] = 7;
  EXPECT_TRUE(w.run({0x0f, 0xb1, 0xcb}));  // cmpxchg ebx, ecx: equal
  EXPECT_EQ(w.state.gpr[kRbx], 7u);
  EXPECT_EQ(w.state.gpr[kRax], 0xaaaaaaaa'00000001);
}

TEST(CmpxchgPair, Of16BytesMustBeAligned) {
  W w;
  w.state.gpr[kRsi] = kData + 8;
  EXPECT_EQ(w.fault_of({0x48, 0x0f, 0xc7, 0x0e}), (Fault{Vector::kGP}));
  w.state.gpr[kRsi] = kData;
  w.state.gpr[kRbx] = 1;
  w.state.gpr[kRcx] = 2;
  EXPECT_TRUE(w.run({0x48, 0x0f, 0xc7, 0x0e}));
  EXPECT_TRUE(w.flag(rflags::kZf));
  EXPECT_EQ(w.port.peek<std::uint64_t>(kData + 8), 2u);
  EXPECT_TRUE(w.run({0x48, 0x0f, 0xc7, 0x0e}));
  EXPECT_FALSE(w.flag(rflags::kZf));
  EXPECT_EQ(w.state.gpr[kRax], 1u);
  EXPECT_EQ(w.state.gpr[kRdx], 2u);
}

TEST(Divide, ErrorsChangeNothing) {
  W w;
  w.state.gpr[kRax] = 5;
  w.state.gpr[kRdx] = 9;
  w.state.gpr[kRbx] = 9;
  EXPECT_EQ(w.fault_of({0xf7, 0xf3}).vector, Vector::kDE);  // the quotient does not fit
  w.state.gpr[kRbx] = 0;
  EXPECT_EQ(w.fault_of({0xf6, 0xfb}).vector, Vector::kDE);
}

TEST(Multiply, OfBytesWritesAxAndLeavesRdx) {
  W w;
  w.state.gpr[kRax] = 0xffffffffffffff80;
  w.state.gpr[kRdx] = 77;
  w.state.gpr[kRbx] = 0x7f;
  EXPECT_TRUE(w.run({0xf6, 0xeb}));
  EXPECT_EQ(w.state.gpr[kRax], 0xffffffffffffc080);
  EXPECT_EQ(w.state.gpr[kRdx], 77u);
  EXPECT_TRUE(w.flag(rflags::kCf) && w.flag(rflags::kOf));
}

TEST(Xadd, OfARegisterWithItselfIsItsDouble) {
  W w;
  w.state.gpr[kRax] = 21;
  EXPECT_TRUE(w.run({0x0f, 0xc1, 0xc0}));
  EXPECT_EQ(w.state.gpr[kRax], 42u);
}

TEST(Moves, ExtendAndSwap) {
  W w;
  w.state.gpr[kRbx] = 0x80;
  EXPECT_TRUE(w.run({0x48, 0x0f, 0xbe, 0xc3}));
  EXPECT_EQ(w.state.gpr[kRax], 0xffffffffffffff80);
  EXPECT_TRUE(w.run({0x0f, 0xb6, 0xc3}));
  EXPECT_EQ(w.state.gpr[kRax], 0x80u);
  w.state.gpr[kRax] = 0x1122334455667788;
  EXPECT_TRUE(w.run({0x48, 0x0f, 0xc8}));
  EXPECT_EQ(w.state.gpr[kRax], 0x8877665544332211);
}

}  // namespace
}  // namespace vireo::x86
