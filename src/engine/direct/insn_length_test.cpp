#include "engine/direct/insn_length.h"

#include <Zydis/Zydis.h>
#include <gtest/gtest.h>

#include <array>
#include <random>

namespace vireo::engine::direct {
namespace {

using Bytes = std::array<std::uint8_t, kInsnLookahead>;

class InsnLengthTest : public ::testing::Test {
 protected:
  InsnLengthTest() {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  }
  /// 0 if there is no such instruction, or none whose length is promised.
  std::size_t decoded_length(const Bytes& bytes) const {
    ZydisDecodedInstruction insn;
    const auto status =
        ZydisDecoderDecodeInstruction(&decoder_, nullptr, bytes.data(), bytes.size(), &insn);
    const bool promised = ZYAN_SUCCESS(status) && insn.meta.isa_set != ZYDIS_ISA_SET_SSE4A;
    return promised ? insn.length : 0;
  }

  ZydisDecoder decoder_;
};

TEST_F(InsnLengthTest, IsTheDecodersForRandomInstructions) {
  std::mt19937_64 random(1);
  std::array<std::size_t, 16> seen{};
  for (int i = 0; i < 1'000'000; ++i) {
    Bytes bytes;
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    const std::size_t expected = decoded_length(bytes);
    ++seen[expected];
    if (expected == 0) continue;
    ASSERT_EQ(insn_length(bytes.data()), expected)
        << ::testing::PrintToString(bytes) << " (iteration " << i << ")";
  }
  for (std::size_t length = 1; length < 12; ++length) EXPECT_GT(seen[length], 100u) << length;
}

/// Every opcode of every map, behind each of the prefixes that change lengths.
TEST_F(InsnLengthTest, IsTheDecodersForEveryOpcode) {
  std::mt19937_64 random(2);
  const std::initializer_list<std::initializer_list<std::uint8_t>> kLeads = {
      {},
      {0x66},
      {0x67},
      {0x48},
      {0x66, 0x48},
      {0x66, 0x66, 0x2e},
      {0x0f},
      {0x66, 0x0f},
      {0xf3, 0x0f},
      {0xf2, 0x0f},
      {0x48, 0x0f},
      {0x0f, 0x38},
      {0x0f, 0x3a},
      {0x66, 0x0f, 0x38},
      {0x66, 0x0f, 0x3a},
      {0xc5, 0xf9},
      {0xc5, 0xfc},
      {0xc4, 0xe1, 0x79},
      {0xc4, 0xe2, 0x79},
      {0xc4, 0xe3, 0x79},
      {0x62, 0xf1, 0x7d, 0x48},
      {0x62, 0xf2, 0x7d, 0x48},
      {0x62, 0xf3, 0x7d, 0x48},
      {0x8f, 0xe8, 0x78},
      {0x8f, 0xe9, 0x78},
      {0x8f, 0xea, 0x78},
  };
  std::size_t decoded = 0;
  for (const auto& lead : kLeads)
    for (unsigned opcode = 0; opcode < 256; ++opcode)
      for (int i = 0; i < 64; ++i) {
        Bytes bytes;
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
        std::copy(lead.begin(), lead.end(), bytes.begin());
        bytes[lead.size()] = static_cast<std::uint8_t>(opcode);
        const std::size_t expected = decoded_length(bytes);
        if (expected == 0) continue;
        ++decoded;
        ASSERT_EQ(insn_length(bytes.data()), expected) << ::testing::PrintToString(bytes);
      }
  EXPECT_GT(decoded, 100'000u);
}

TEST_F(InsnLengthTest, AnyBytesHaveALengthInRange) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    Bytes bytes;
    bytes.fill(static_cast<std::uint8_t>(byte));
    EXPECT_GE(insn_length(bytes.data()), 1u) << byte;
    EXPECT_LE(insn_length(bytes.data()), 15u) << byte;
  }
}

TEST_F(InsnLengthTest, PrefixesAreKnown) {
  for (const int byte : {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x40, 0x48, 0x4f})
    EXPECT_TRUE(is_insn_prefix(static_cast<std::uint8_t>(byte))) << byte;
  for (const int byte : {0x0f, 0x50, 0x62, 0x90, 0xc4, 0xc5, 0xcd, 0x3f})
    EXPECT_FALSE(is_insn_prefix(static_cast<std::uint8_t>(byte))) << byte;
}

}  // namespace
}  // namespace vireo::engine::direct
