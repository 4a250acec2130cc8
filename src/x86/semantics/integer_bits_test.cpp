#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

using W = SemanticsWorld;
constexpr std::uint64_t kData = W::kData;

TEST(BitTest, ARegisterReachesBitsOnBothSidesOfTheOperand) {
  for (const std::int64_t bit : {0, 31, 32, 100, -1, -32, -33, 1000, -1000}) {
    W w;
    w.state.gpr[kRbx] = kData;
    w.state.gpr[kRcx] = static_cast<std::uint32_t>(bit);
    EXPECT_TRUE(w.run({0x0f, 0xab, 0x0b}));  // bts [rbx], ecx
    EXPECT_FALSE(w.flag(rflags::kCf));
    const auto byte = kData + static_cast<std::uint64_t>(bit >> 3);
    EXPECT_EQ(w.port.peek<std::uint8_t>(byte), 1u << (bit & 7)) << bit;
    EXPECT_TRUE(w.run({0x0f, 0xb3, 0x0b}));  // btr
    EXPECT_TRUE(w.flag(rflags::kCf));
    EXPECT_EQ(w.port.peek<std::uint8_t>(byte), 0) << bit;
  }
}

TEST(BitTest, AnImmediateStaysInTheOperand) {
  W w;
  w.state.gpr[kRbx] = kData;
  EXPECT_TRUE(w.run({0x0f, 0xba, 0x2b, 0x23}));  // bts dword [rbx], 35
  EXPECT_EQ(w.port.peek<std::uint64_t>(kData), 8u);
}

TEST(BitTest, WordsReachInWordsAndTheAddressWrapsInItsSize) {
  W w;
  w.make_legacy(false);
  w.state.gpr[kRbx] = 2;
  w.state.gpr[kRcx] = 0xffe0;              // -32 bits: -4 bytes
  EXPECT_TRUE(w.run({0x0f, 0xab, 0x0f}));  // bts [bx], cx
  EXPECT_EQ(w.port.peek<std::uint16_t>(0xfffe), 1);
}

TEST(BitTest, OnlyTheCarryChanges) {
  W w;
  w.state.rflags |= rflags::kArithmetic;
  EXPECT_TRUE(w.run({0x0f, 0xa3, 0xc8}));
  EXPECT_EQ(w.state.rflags & rflags::kArithmetic, rflags::kArithmetic & ~rflags::kCf);
}

TEST(BitTest, OfAPageThatIsReadOnlyFaultsIfItWrites) {
  W w;
  w.state.gpr[kRbx] = kData;
  w.port.write_protect(kData);
  EXPECT_TRUE(w.run({0x0f, 0xa3, 0x0b}));
  EXPECT_EQ(w.fault_of({0x0f, 0xab, 0x0b}).error_code, 3u);
}

TEST(BitTest, ALockedOneThatLosesARaceLooksAgain) {
  W w;
  w.state.gpr[kRbx] = kData;
  RacingPort port(w.port, kData, 1);
  EXPECT_TRUE(w.run_on(port, {0xf0, 0x0f, 0xab, 0x0b}));
  EXPECT_TRUE(w.flag(rflags::kCf));
}

TEST(BitScan, OfZeroKeepsAllOfTheDestination) {
  W w;
  w.state.gpr[kRax] = ~0ull;
  EXPECT_TRUE(w.run({0x0f, 0xbc, 0xc3}));
  EXPECT_EQ(w.state.gpr[kRax], ~0ull);
  EXPECT_TRUE(w.flag(rflags::kZf));
  w.state.gpr[kRbx] = 0x80;
  EXPECT_TRUE(w.run({0x0f, 0xbd, 0xc3}));
  EXPECT_EQ(w.state.gpr[kRax], 7u);
  EXPECT_FALSE(w.flag(rflags::kZf));
}

TEST(Popcnt, CountsAndClearsTheOtherFlags) {
  W w;
  w.state.rflags |= rflags::kArithmetic;
  w.state.gpr[kRbx] = 0xf0f0;
  EXPECT_TRUE(w.run({0xf3, 0x0f, 0xb8, 0xc3}));
  EXPECT_EQ(w.state.gpr[kRax], 8u);
  EXPECT_EQ(w.state.rflags & rflags::kArithmetic, 0u);
}

TEST(Crc32, IsCastagnolis) {
  W w;  // the check value of "123456789" is e3069283
  w.state.gpr[kRax] = 0xffffffff;
  for (const char digit : std::string_view("123456789")) {
    w.state.gpr[kRbx] = static_cast<std::uint64_t>(digit);
    EXPECT_TRUE(w.run({0xf2, 0x0f, 0x38, 0xf0, 0xc3}));
  }
  EXPECT_EQ(w.state.gpr[kRax], ~0xe3069283u & 0xffffffff);
}

}  // namespace
}  // namespace vireo::x86
