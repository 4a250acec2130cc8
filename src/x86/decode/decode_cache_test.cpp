#include "x86/decode/decode_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {
namespace {

TEST(DecodeCache, AnswersAsTheDecoderDoes) {
  const auto model = CpuidModel::parse("v3", {}).value();
  DecodeCache cache(model.features());
  std::mt19937_64 random(1);
  // Few different bytes, so that the same code and code that begins alike comes often.
  constexpr std::array<std::uint8_t, 12> kBytes{0x48, 0x89, 0x01, 0xc3, 0x0f, 0x66,
                                                0xc5, 0x90, 0x8b, 0x44, 0x24, 0xf0};
  unsigned good = 0;
  for (unsigned i = 0; i < 200'000; ++i) {
    std::array<std::uint8_t, kMaxInsnLength> code{};
    for (std::uint8_t& byte : code) byte = kBytes[random() % kBytes.size()];
    const auto bytes = std::span(code).first(1 + random() % code.size());
    const CodeSize size = random() % 2 == 0 ? CodeSize::k64 : CodeSize::k32;
    Insn expected, actual;
    const auto status = decode(bytes, size, model.features(), expected);
    ASSERT_EQ(cache.decode(bytes, size, actual), status);
    if (status != DecodeStatus::kOk) continue;
    ++good;
    ASSERT_EQ(actual.mnemonic, expected.mnemonic);
    ASSERT_EQ(actual.length, expected.length);
    ASSERT_EQ(actual.code_size, expected.code_size);
    ASSERT_EQ(actual.bytes, expected.bytes);
    ASSERT_EQ(actual.effects, expected.effects);
    ASSERT_EQ(actual.memory.displacement, expected.memory.displacement);
  }
  EXPECT_GT(good, 10'000u);
}

TEST(DecodeCache, AnInstructionThatGoesOnBehindTheEndIsNotFound) {
  const auto model = CpuidModel::parse("v3", {}).value();
  DecodeCache cache(model.features());
  constexpr std::array<std::uint8_t, 5> kMove{0xb8, 0x00, 0x00, 0x00, 0x00};
  Insn insn;
  ASSERT_EQ(cache.decode(kMove, CodeSize::k64, insn), DecodeStatus::kOk);
  EXPECT_EQ(cache.decode(std::span(kMove).first(4), CodeSize::k64, insn),
            DecodeStatus::kNeedMoreBytes);
}

}  // namespace
}  // namespace vireo::x86
