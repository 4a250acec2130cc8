#include "engine/translator/long_form.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "x86/cpuid/cpuid_model.h"

namespace vireo::engine::translator {
namespace {

using x86::CodeSize;
using Bytes = std::vector<std::uint8_t>;

class LongForm : public testing::Test {
 protected:
  std::optional<x86::Insn> decode(const Bytes& bytes, CodeSize size) {
    x86::Insn insn;
    if (decoder_.decode(bytes, size, insn) != x86::DecodeStatus::kOk) return {};
    return insn;
  }
  /// Empty: there is none.
  Bytes of(const Bytes& bytes, CodeSize size = CodeSize::k32) {
    const auto narrow = decode(bytes, size);
    if (!narrow) return {};
    const auto result = long_form(*narrow, decoder_);
    if (!result) return {};
    return {result->bytes.begin(), result->bytes.begin() + result->length};
  }

  x86::CpuidModel model_ = x86::CpuidModel::parse("v3", {}).value();
  x86::DecodeCache decoder_{model_.features()};
};

TEST_F(LongForm, MostInstructionsStayAsTheyAre) {
  EXPECT_EQ(of({0x01, 0xd8}), (Bytes{0x01, 0xd8}));
  EXPECT_EQ(of({0x66, 0x05, 0x34, 0x12}), (Bytes{0x66, 0x05, 0x34, 0x12}));
  EXPECT_EQ(of({0x0f, 0xaf, 0xc3}), (Bytes{0x0f, 0xaf, 0xc3}));
}

TEST_F(LongForm, IncAndDecGetAModrm) {
  EXPECT_EQ(of({0x43}), (Bytes{0xff, 0xc3}));
  EXPECT_EQ(of({0x66, 0x4f}), (Bytes{0x66, 0xff, 0xcf}));
}

TEST_F(LongForm, MemoryBecomesAnAddressToBeReplaced) {
  EXPECT_EQ(of({0x8b, 0x4c, 0x90, 0x10}), (Bytes{0x8b, 0x0c, 0x25, 0, 0, 0, 0}));
  EXPECT_EQ(of({0x65, 0xa1, 0x14, 0, 0, 0}), (Bytes{0x8b, 0x04, 0x25, 0, 0, 0, 0}));
  EXPECT_EQ(of({0xa2, 0x14, 0, 0, 0}), (Bytes{0x88, 0x04, 0x25, 0, 0, 0, 0}));
  EXPECT_EQ(of({0xc7, 0x40, 0x08, 1, 2, 3, 4}), (Bytes{0xc7, 0x04, 0x25, 0, 0, 0, 0, 1, 2, 3, 4}));
}

TEST_F(LongForm, SixteenBitCodeHasTheOtherOperandSize) {
  EXPECT_EQ(of({0x01, 0xd8}, CodeSize::k16), (Bytes{0x66, 0x01, 0xd8}));
  EXPECT_EQ(of({0x66, 0x01, 0xd8}, CodeSize::k16), (Bytes{0x01, 0xd8}));
  EXPECT_EQ(of({0x8b, 0x40, 0x02}, CodeSize::k16), (Bytes{0x66, 0x8b, 0x04, 0x25, 0, 0, 0, 0}));
  EXPECT_EQ(of({0x98}, CodeSize::k16), (Bytes{0x66, 0x98}));
  EXPECT_EQ(of({0x66, 0x98}, CodeSize::k16), (Bytes{0x98}));
}

TEST_F(LongForm, APrefixThatIsAPartOfTheOpcodeStays) {
  EXPECT_EQ(of({0x66, 0x0f, 0xfe, 0xc1}, CodeSize::k16), (Bytes{0x66, 0x0f, 0xfe, 0xc1}));
  EXPECT_EQ(of({0x0f, 0x58, 0xc1}, CodeSize::k16), (Bytes{0x0f, 0x58, 0xc1}));
  EXPECT_EQ(of({0xd8, 0xc1}, CodeSize::k16), (Bytes{0xd8, 0xc1}));
}

TEST_F(LongForm, WhatMeansSomethingElseIn64BitCodeHasNone) {
  EXPECT_EQ(of({0x37}), Bytes{});                          // AAA
  EXPECT_EQ(of({0x63, 0xc3}), Bytes{});                    // ARPL
  EXPECT_EQ(of({0xc4, 0xe2, 0xf0, 0xf2, 0xc2}), Bytes{});  // ANDN, whose W means nothing here
}

/// Whatever it makes has the same operands, and memory only where it was.
TEST_F(LongForm, OperandsOfRandomInstructionsAreTheSame) {
  std::mt19937_64 random(1);
  unsigned made = 0;
  for (int i = 0; i < 200'000; ++i) {
    Bytes bytes(15);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const CodeSize size = i % 2 == 0 ? CodeSize::k32 : CodeSize::k16;
    const auto narrow = decode(bytes, size);
    const auto wide = narrow ? long_form(*narrow, decoder_) : std::nullopt;
    if (!wide) continue;
    ++made;
    EXPECT_EQ(wide->mnemonic, narrow->mnemonic);
    EXPECT_EQ(wide->immediate, narrow->immediate);
    for (unsigned n = 0; n < narrow->operand_count; ++n) {
      EXPECT_EQ(wide->operands[n].kind, narrow->operands[n].kind);
      EXPECT_EQ(wide->operands[n].width, narrow->operands[n].width);
    }
  }
  EXPECT_GT(made, 20'000u);
}

}  // namespace
}  // namespace vireo::engine::translator
