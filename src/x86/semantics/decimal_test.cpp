#include "x86/semantics/semantics_world.h"

namespace vireo::x86 {
namespace {

using W = SemanticsWorld;

unsigned packed(unsigned n) { return n / 10 << 4 | n % 10; }

W legacy(std::uint64_t ax) {
  W w;
  w.make_legacy(true);
  w.state.gpr[kRax] = ax;
  return w;
}

TEST(Decimal, DaaMakesAPackedSumAfterAdd) {
  for (unsigned a = 0; a < 100; ++a)
    for (unsigned b = 0; b < 100; ++b) {
      W w = legacy(packed(a));
      w.state.gpr[kRbx] = packed(b);
      ASSERT_TRUE(w.run({0x00, 0xd8}));  // add al, bl
      ASSERT_TRUE(w.run({0x27}));
      ASSERT_EQ(w.state.gpr[kRax], packed((a + b) % 100)) << a << " + " << b;
      ASSERT_EQ(w.flag(rflags::kCf), a + b > 99);
      ASSERT_EQ(w.flag(rflags::kZf), (a + b) % 100 == 0);
    }
}

TEST(Decimal, DasMakesAPackedDifferenceAfterSub) {
  for (unsigned a = 0; a < 100; ++a)
    for (unsigned b = 0; b < 100; ++b) {
      W w = legacy(packed(a));
      w.state.gpr[kRbx] = packed(b);
      ASSERT_TRUE(w.run({0x28, 0xd8}));
      ASSERT_TRUE(w.run({0x2f}));
      ASSERT_EQ(w.state.gpr[kRax], packed((a + 100 - b) % 100)) << a << " - " << b;
      ASSERT_EQ(w.flag(rflags::kCf), a < b);
    }
}

TEST(Decimal, AaaAndAasCarryOneDigitIntoAh) {
  for (unsigned a = 0; a < 10; ++a)
    for (unsigned b = 0; b < 10; ++b) {
      W sum = legacy(0x500 | a), difference = sum;
      sum.state.gpr[kRbx] = difference.state.gpr[kRbx] = b;
      ASSERT_TRUE(sum.run({0x00, 0xd8}));
      ASSERT_TRUE(sum.run({0x37}));
      ASSERT_EQ(sum.state.gpr[kRax], 0x500 + (a + b) / 10 * 0x100 + (a + b) % 10);
      ASSERT_EQ(sum.flag(rflags::kCf), a + b > 9);
      ASSERT_TRUE(difference.run({0x28, 0xd8}));
      ASSERT_TRUE(difference.run({0x3f}));
      ASSERT_EQ(difference.state.gpr[kRax], (a < b ? 0x400u : 0x500u) + (a + 10 - b) % 10);
    }
}

TEST(Decimal, AamAndAadAreInverse) {
  for (unsigned n = 0; n < 100; ++n) {
    W w = legacy(0xffff0000 | n);
    ASSERT_TRUE(w.run({0xd4, 0x0a}));
    ASSERT_EQ(w.state.gpr[kRax], 0xffff0000 | n / 10 << 8 | n % 10);
    ASSERT_TRUE(w.run({0xd5, 0x0a}));
    ASSERT_EQ(w.state.gpr[kRax], 0xffff0000 | n);
    ASSERT_EQ(w.flag(rflags::kZf), n == 0);
  }
}

TEST(Decimal, AamByZeroIsADivideError) {
  W w = legacy(77);
  EXPECT_EQ(w.fault_of({0xd4, 0x00}), (Fault{Vector::kDE}));
}

}  // namespace
}  // namespace vireo::x86
