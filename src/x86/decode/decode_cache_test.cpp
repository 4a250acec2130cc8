#include "x86/decode/decode_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "x86/cpuid/cpuid_model.h"

namespace vireo::x86 {
namespace {

void expect_same(const Insn& actual, const Insn& expected) {
  ASSERT_EQ(actual.mnemonic, expected.mnemonic);
  ASSERT_EQ(actual.length, expected.length);
  ASSERT_EQ(actual.code_size, expected.code_size);
  ASSERT_EQ(actual.bytes, expected.bytes);
  ASSERT_EQ(actual.effects, expected.effects);
  ASSERT_EQ(actual.operand_count, expected.operand_count);
  ASSERT_EQ(actual.operand_width, expected.operand_width);
  ASSERT_EQ(actual.address_width, expected.address_width);
  ASSERT_EQ(actual.immediate, expected.immediate);
  ASSERT_EQ(actual.immediate2, expected.immediate2);
  ASSERT_EQ(actual.memory.base, expected.memory.base);
  ASSERT_EQ(actual.memory.index, expected.memory.index);
  ASSERT_EQ(actual.memory.displacement, expected.memory.displacement);
}

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
    ASSERT_NO_FATAL_FAILURE(expect_same(actual, expected));
  }
  EXPECT_GT(good, 10'000u);
}

/// Each opcode with every addressing form, and numbers of every sign behind it.
TEST(DecodeCache, NumbersAreNotThoseOfTheInstructionBefore) {
  const auto model = CpuidModel::parse("v3", {}).value();
  DecodeCache cache(model.features());
  std::mt19937_64 random(2);
  constexpr std::array<std::uint8_t, 6> kNumbers{0x00, 0x01, 0x20, 0x7f, 0x80, 0xff};
  const std::vector<std::vector<std::uint8_t>> prefixes{{},     {0x66},       {0x67},       {0x48},
                                                        {0x4f}, {0x66, 0x41}, {0xf2},       {0xf3},
                                                        {0x0f}, {0x48, 0x0f}, {0x0f, 0x3a}, {0xc5}};
  unsigned good = 0;
  for (unsigned round = 0; round < 40; ++round)
    for (const auto& prefix : prefixes)
      for (unsigned opcode = 0; opcode < 256; ++opcode)
        for (const CodeSize size : {CodeSize::k64, CodeSize::k32, CodeSize::k16}) {
          std::array<std::uint8_t, kMaxInsnLength> code;
          for (std::uint8_t& byte : code) byte = kNumbers[random() % kNumbers.size()];
          std::ranges::copy(prefix, code.begin());
          code[prefix.size()] = static_cast<std::uint8_t>(opcode);
          if (round % 2 == 0) code[prefix.size() + 1] = static_cast<std::uint8_t>(random());
          Insn expected, actual;
          const auto status = decode(code, size, model.features(), expected);
          ASSERT_EQ(cache.decode(code, size, actual), status);
          if (status != DecodeStatus::kOk) continue;
          ++good;
          ASSERT_NO_FATAL_FAILURE(expect_same(actual, expected)) << opcode;
        }
  EXPECT_GT(good, 100'000u);
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
