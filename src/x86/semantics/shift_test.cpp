#include "x86/semantics/shift.h"

#include <gtest/gtest.h>

#include <random>

namespace vireo::x86 {
namespace {

template <class T>
class Shifts : public ::testing::Test {};
using Types = ::testing::Types<std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(Shifts, Types);

/// One bit at a time, as the manual's pseudo code does. SDM vol. 2B, RCL/RCR/ROL/ROR, SAL/SAR/...
template <class T>
struct BitByBit {
  T word;
  bool carry;
  static constexpr unsigned kTop = sizeof(T) * 8 - 1;

  bool top() const { return (word >> kTop) & 1; }
  void left(bool in) {
    carry = top();
    word = static_cast<T>(word << 1 | static_cast<T>(in));
  }
  void right(bool in) {
    carry = word & 1;
    word = static_cast<T>(word >> 1 | static_cast<T>(in) << kTop);
  }
};

template <class Op, class T, class Step>
void compare(Step step) {
  std::mt19937_64 random(7);
  for (unsigned round = 0; round < 200; ++round)
    for (unsigned count = 0; count < 80; ++count) {
      const T word = static_cast<T>(random());
      const bool carry = random() & 1;
      HostFlags flags = to_host_flags(carry ? rflags::kCf : 0);
      BitByBit<T> expected{word, carry};
      for (unsigned i = 0; i < (count & (sizeof(T) == 8 ? 63 : 31)); ++i) step(expected);
      ASSERT_EQ(Op::apply(word, static_cast<std::uint8_t>(count), flags), expected.word) << count;
      // Beyond the operand's width the carry out of a shift is not defined.
      const bool defined = (count & (sizeof(T) == 8 ? 63 : 31)) <= sizeof(T) * 8;
      if (defined) ASSERT_EQ((from_host_flags(flags) & rflags::kCf) != 0, expected.carry) << count;
    }
}

TYPED_TEST(Shifts, MoveBitByBit) {
  using T = TypeParam;
  compare<Shl, T>([](auto& w) { w.left(false); });
  compare<Shr, T>([](auto& w) { w.right(false); });
  compare<Sar, T>([](auto& w) { w.right(w.top()); });
  compare<Rol, T>([](auto& w) { w.left(w.top()); });
  compare<Ror, T>([](auto& w) { w.right(w.word & 1); });
  compare<Rcl, T>([](auto& w) { w.left(w.carry); });
  compare<Rcr, T>([](auto& w) { w.right(w.carry); });
}

TYPED_TEST(Shifts, ACountOfZeroAfterMaskingTouchesNoFlag) {
  for (const std::uint8_t count : std::initializer_list<std::uint8_t>{0, 64, 128}) {
    HostFlags flags = to_host_flags(rflags::kOf | rflags::kAf | rflags::kZf);
    EXPECT_EQ(Shl::apply<TypeParam>(5, count, flags), 5u);
    EXPECT_EQ(Rcl::apply<TypeParam>(5, count, flags), 5u);
    EXPECT_EQ(from_host_flags(flags), rflags::kOf | rflags::kAf | rflags::kZf);
  }
}

TYPED_TEST(Shifts, RotationsKeepTheFlagsOfResults) {
  HostFlags flags = to_host_flags(rflags::kZf | rflags::kSf | rflags::kPf | rflags::kAf);
  Rol::apply<TypeParam>(1, 1, flags);
  EXPECT_EQ(from_host_flags(flags), rflags::kZf | rflags::kSf | rflags::kPf | rflags::kAf);
}

TEST(DoubleShifts, TakeTheirBitsFromTheSource) {
  for (unsigned count = 1; count < 32; ++count) {
    HostFlags flags;
    const std::uint32_t a = 0x89abcdef, b = 0x12345678;
    const std::uint64_t left = std::uint64_t{a} << 32 | b, right = std::uint64_t{b} << 32 | a;
    EXPECT_EQ(Shld::apply(a, b, static_cast<std::uint8_t>(count), flags),
              static_cast<std::uint32_t>((left << count) >> 32));
    EXPECT_EQ((from_host_flags(flags) & rflags::kCf) != 0, (a >> (32 - count) & 1) != 0);
    EXPECT_EQ(Shrd::apply(a, b, static_cast<std::uint8_t>(count), flags),
              static_cast<std::uint32_t>(right >> count));
    EXPECT_EQ((from_host_flags(flags) & rflags::kCf) != 0, (a >> (count - 1) & 1) != 0);
  }
}

}  // namespace
}  // namespace vireo::x86
