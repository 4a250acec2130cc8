#include "x86/semantics/alu.h"

#include <gtest/gtest.h>

#include <limits>

namespace vireo::x86 {
namespace {

// The definitions of SDM vol. 1, 3.4.3.1, computed with wider integers: an oracle that shares
// nothing with the host's instruction.

template <class T>
std::uint64_t result_flags(T result) {
  std::uint64_t flags = 0;
  if (result == 0) flags |= rflags::kZf;
  if (result >> (sizeof(T) * 8 - 1)) flags |= rflags::kSf;
  if (__builtin_popcount(static_cast<std::uint8_t>(result)) % 2 == 0) flags |= rflags::kPf;
  return flags;
}

template <class T>
std::uint64_t sum_flags(T a, T b, bool carry, bool subtract) {
  using Wide = unsigned __int128;
  using Signed = std::make_signed_t<T>;
  const Wide wide = subtract ? Wide{a} - b - carry : Wide{a} + b + carry;
  const auto wide_signed =
      subtract ? static_cast<__int128>(static_cast<Signed>(a)) - static_cast<Signed>(b) - carry
               : static_cast<__int128>(static_cast<Signed>(a)) + static_cast<Signed>(b) + carry;
  const T result = static_cast<T>(wide);
  std::uint64_t flags = result_flags(result);
  if ((wide >> (sizeof(T) * 8)) != 0) flags |= rflags::kCf;
  if (wide_signed != static_cast<Signed>(result)) flags |= rflags::kOf;
  if ((a ^ b ^ result) & 0x10) flags |= rflags::kAf;
  return flags;
}

template <class Op>
void every_byte(bool with_carry, bool subtract) {
  for (unsigned a = 0; a < 256; ++a)
    for (unsigned b = 0; b < 256; ++b)
      for (const bool carry : {false, true}) {
        HostFlags flags = to_host_flags(carry ? rflags::kCf : 0);
        const auto x = static_cast<std::uint8_t>(a), y = static_cast<std::uint8_t>(b);
        const bool in = with_carry && carry;
        const auto result = Op::apply(x, y, flags);
        if (Op::kWrites)
          ASSERT_EQ(result, static_cast<std::uint8_t>(subtract ? a - b - in : a + b + in));
        ASSERT_EQ(from_host_flags(flags), sum_flags(x, y, in, subtract)) << a << " " << b << in;
      }
}

TEST(Alu, EveryByteSumHasTheFlagsOfItsDefinition) {
  every_byte<Add>(false, false);
  every_byte<Adc>(true, false);
  every_byte<Sub>(false, true);
  every_byte<Sbb>(true, true);
  every_byte<Cmp>(false, true);
}

template <class T>
class AluWide : public ::testing::Test {};
using WideTypes = ::testing::Types<std::uint16_t, std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(AluWide, WideTypes);

TYPED_TEST(AluWide, SumsAtTheEdgesHaveTheFlagsOfTheirDefinition) {
  using T = TypeParam;
  constexpr T kTop = std::numeric_limits<T>::max(),
              kSign = static_cast<T>(T{1} << (sizeof(T) * 8 - 1));
  for (const T a : {T{0}, T{1}, T{15}, T{16}, static_cast<T>(kSign - 1), kSign, kTop})
    for (const T b : {T{0}, T{1}, T{15}, static_cast<T>(kSign - 1), kSign, kTop})
      for (const bool carry : {false, true}) {
        HostFlags sum = to_host_flags(carry ? rflags::kCf : 0), difference = sum;
        EXPECT_EQ(Adc::apply(a, b, sum), static_cast<T>(a + b + carry));
        EXPECT_EQ(from_host_flags(sum), sum_flags(a, b, carry, false));
        EXPECT_EQ(Sbb::apply(a, b, difference), static_cast<T>(a - b - carry));
        EXPECT_EQ(from_host_flags(difference), sum_flags(a, b, carry, true));
      }
}

TEST(Alu, LogicClearsCarryAndOverflow) {
  HostFlags flags = to_host_flags(rflags::kArithmetic);
  EXPECT_EQ(And::apply<std::uint8_t>(0xf0, 0x8f, flags), 0x80);
  EXPECT_EQ(from_host_flags(flags) & ~rflags::kAf, result_flags<std::uint8_t>(0x80));
  EXPECT_EQ(Or::apply<std::uint8_t>(0x41, 0x02, flags), 0x43);
  EXPECT_EQ(from_host_flags(flags) & ~rflags::kAf, result_flags<std::uint8_t>(0x43));
  EXPECT_EQ(Xor::apply<std::uint8_t>(0x41, 0x41, flags), 0);
  EXPECT_EQ(from_host_flags(flags) & ~rflags::kAf, result_flags<std::uint8_t>(0));
}

TEST(Alu, IncAndDecKeepCarry) {
  for (const bool carry : {false, true}) {
    HostFlags flags = to_host_flags(carry ? rflags::kCf : 0);
    EXPECT_EQ(Inc::apply<std::uint16_t>(0xffff, flags), 0);
    EXPECT_EQ((from_host_flags(flags) & rflags::kCf) != 0, carry);
    EXPECT_EQ(Dec::apply<std::uint16_t>(0x8000, flags), 0x7fff);
    EXPECT_EQ((from_host_flags(flags) & rflags::kCf) != 0, carry);
    EXPECT_NE(from_host_flags(flags) & rflags::kOf, 0u);
  }
}

TEST(Alu, NegIsASubtractionFromZeroAndNotTouchesNoFlag) {
  for (unsigned a = 0; a < 256; ++a) {
    HostFlags flags, kept = to_host_flags(rflags::kArithmetic);
    const auto x = static_cast<std::uint8_t>(a);
    EXPECT_EQ(Neg::apply(x, flags), static_cast<std::uint8_t>(0 - a));
    EXPECT_EQ(from_host_flags(flags), sum_flags<std::uint8_t>(0, x, false, true));
    EXPECT_EQ(Not::apply(x, kept), static_cast<std::uint8_t>(~a));
    EXPECT_EQ(from_host_flags(kept), rflags::kArithmetic);
  }
}

TEST(HostFlags, GoThereAndBack) {
  for (std::uint64_t bits = 0; bits <= rflags::kArithmetic; ++bits) {
    const std::uint64_t flags = bits & rflags::kArithmetic;
    ASSERT_EQ(from_host_flags(to_host_flags(flags)), flags);
    ASSERT_EQ(merge_flags(~0ull, to_host_flags(flags)), ~rflags::kArithmetic | flags);
  }
}

TEST(HostFlags, ConditionsAreThoseOfTheManual) {
  for (std::uint64_t bits = 0; bits <= rflags::kArithmetic; ++bits) {
    const bool of = bits & rflags::kOf, cf = bits & rflags::kCf, zf = bits & rflags::kZf,
               sf = bits & rflags::kSf, pf = bits & rflags::kPf;
    const bool expected[8] = {of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of};
    for (unsigned cc = 0; cc < 16; ++cc)
      ASSERT_EQ(condition(cc, to_host_flags(bits)), expected[cc / 2] != (cc % 2 == 1)) << bits;
  }
}

}  // namespace
}  // namespace vireo::x86
