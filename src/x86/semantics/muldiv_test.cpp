#include "x86/semantics/muldiv.h"

#include <gtest/gtest.h>

#include <random>

namespace vireo::x86 {
namespace {

bool overflows(HostFlags flags) {
  const std::uint64_t both = from_host_flags(flags) & (rflags::kCf | rflags::kOf);
  EXPECT_TRUE(both == 0 || both == (rflags::kCf | rflags::kOf));
  return both != 0;
}

TEST(Multiply, EveryByteProduct) {
  for (unsigned a = 0; a < 256; ++a)
    for (unsigned b = 0; b < 256; ++b) {
      auto low = static_cast<std::uint8_t>(a), high = std::uint8_t{0x55};
      HostFlags flags;
      Mul::apply(low, high, static_cast<std::uint8_t>(b), flags);
      ASSERT_EQ(high << 8 | low, static_cast<int>(a * b));
      ASSERT_EQ(overflows(flags), a * b > 0xff);

      low = static_cast<std::uint8_t>(a);
      const int product = static_cast<std::int8_t>(a) * static_cast<std::int8_t>(b);
      Imul::apply(low, high, static_cast<std::uint8_t>(b), flags);
      ASSERT_EQ(static_cast<std::int16_t>(high << 8 | low), product);
      ASSERT_EQ(overflows(flags), product != static_cast<std::int8_t>(product));
    }
}

TEST(Multiply, WideProducts) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t a = random(), b = random();
    std::uint64_t low = a, high = 0;
    HostFlags flags;
    Mul::apply(low, high, b, flags);
    ASSERT_EQ(static_cast<unsigned __int128>(high) << 64 | low,
              static_cast<unsigned __int128>(a) * b);
    auto low32 = static_cast<std::uint32_t>(a), high32 = 0u;
    Imul::apply(low32, high32, static_cast<std::uint32_t>(b), flags);
    const std::int64_t product =
        static_cast<std::int64_t>(static_cast<std::int32_t>(a)) * static_cast<std::int32_t>(b);
    ASSERT_EQ(static_cast<std::int64_t>(std::uint64_t{high32} << 32 | low32), product);
    ASSERT_EQ(overflows(flags), product != static_cast<std::int32_t>(product));
    const auto truncated =
        ImulTruncated::apply(static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b), flags);
    ASSERT_EQ(truncated, static_cast<std::uint32_t>(product));
    ASSERT_EQ(overflows(flags), product != static_cast<std::int32_t>(product));
  }
}

TEST(Divide, EveryWordByEveryByte) {
  for (unsigned dividend = 0; dividend < 0x10000; ++dividend)
    for (unsigned divisor = 0; divisor < 256; divisor += 1 + dividend % 3) {
      auto low = static_cast<std::uint8_t>(dividend),
           high = static_cast<std::uint8_t>(dividend >> 8);
      const bool fits = divisor != 0 && dividend / divisor < 256;
      ASSERT_EQ(Div::apply(low, high, static_cast<std::uint8_t>(divisor)), fits);
      ASSERT_EQ(low, fits ? dividend / divisor : dividend & 0xff);
      ASSERT_EQ(high, fits ? dividend % divisor : dividend >> 8);
    }
}

TEST(Divide, EverySignedWordByEveryByte) {
  for (int dividend = -0x8000; dividend < 0x8000; ++dividend)
    for (int divisor = -128; divisor < 128; divisor += 1 + (dividend & 3)) {
      auto low = static_cast<std::uint8_t>(dividend),
           high = static_cast<std::uint8_t>(dividend >> 8);
      const bool fits = divisor != 0 && dividend / divisor >= -128 && dividend / divisor <= 127;
      ASSERT_EQ(Idiv::apply(low, high, static_cast<std::uint8_t>(divisor)), fits)
          << dividend << " / " << divisor;
      if (!fits) continue;
      ASSERT_EQ(static_cast<std::int8_t>(low), dividend / divisor);
      ASSERT_EQ(static_cast<std::int8_t>(high), dividend % divisor);
    }
}

TEST(Divide, TheMostNegativeQuotientFitsAndTheMostPositiveOneMoreDoesNot) {
  const auto idiv64 = [](__int128 dividend, std::int64_t divisor, std::int64_t& quotient) {
    auto low = static_cast<std::uint64_t>(dividend),
         high = static_cast<std::uint64_t>(dividend >> 64);
    const bool done = Idiv::apply(low, high, static_cast<std::uint64_t>(divisor));
    quotient = static_cast<std::int64_t>(low);
    return done;
  };
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  std::int64_t quotient = 0;
  EXPECT_TRUE(idiv64(kMin, 1, quotient));
  EXPECT_EQ(quotient, kMin);
  EXPECT_FALSE(idiv64(kMin, -1, quotient));
  EXPECT_FALSE(idiv64(static_cast<__int128>(1) << 126, 1, quotient));
  EXPECT_FALSE(idiv64(5, 0, quotient));
  EXPECT_TRUE(idiv64(static_cast<__int128>(kMin) * kMin - 1, kMin, quotient));
  EXPECT_EQ(quotient, kMin + 1);
}

}  // namespace
}  // namespace vireo::x86
