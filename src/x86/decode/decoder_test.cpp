#include "x86/decode/decoder.h"

#include <gtest/gtest.h>

#include <vector>

namespace vireo::x86 {
namespace {

FeatureSet everything() {
  FeatureSet set;
  for (unsigned i = 0; i < static_cast<unsigned>(Feature::kCount); ++i)
    set.set(static_cast<Feature>(i));
  return set;
}

struct Decoded {
  DecodeStatus status;
  Insn insn;
};
Decoded decode_bytes(const std::vector<std::uint8_t>& bytes, CodeSize size = CodeSize::k64,
                     const FeatureSet& features = everything()) {
  Decoded result{};
  result.status = decode(bytes, size, features, result.insn);
  return result;
}

TEST(Decoder, ReadsOperandsInIntelOrder) {
  const auto [status, insn] =
      decode_bytes({0x48, 0x11, 0x44, 0x8b, 0xf8});  // adc [rbx+rcx*4-8],rax
  ASSERT_EQ(status, DecodeStatus::kOk);
  EXPECT_EQ(insn.mnemonic, ZYDIS_MNEMONIC_ADC);
  EXPECT_EQ(insn.length, 5);
  ASSERT_EQ(insn.operand_count, 2);
  EXPECT_EQ(insn.operands[0].kind, OperandKind::kMemory);
  EXPECT_EQ(insn.operands[0].width, 8);
  EXPECT_EQ(insn.memory.base, 3);
  EXPECT_EQ(insn.memory.index, 1);
  EXPECT_EQ(insn.memory.scale_shift, 2);
  EXPECT_EQ(insn.memory.displacement, -8);
  EXPECT_EQ(insn.operands[1].number, 0);
}

TEST(Decoder, TellsHighByteRegistersFromRexOnes) {
  EXPECT_EQ(decode_bytes({0x88, 0xe0}).insn.operands[1].kind, OperandKind::kGprHigh);  // mov al,ah
  const auto spl = decode_bytes({0x40, 0x88, 0xe0}).insn.operands[1];                  // mov al,spl
  EXPECT_EQ(spl.kind, OperandKind::kGpr);
  EXPECT_EQ(spl.number, 4);
}

TEST(Decoder, FindsRipRelativeOperandsAndOverriddenSegments) {
  const auto load = decode_bytes({0x65, 0x48, 0x8b, 0x05, 1, 0, 0, 0}).insn;  // mov rax,gs:[rip+1]
  EXPECT_EQ(load.memory.base, kRipBase);
  EXPECT_EQ(load.memory.segment, kGs);
  EXPECT_EQ(load.memory.displacement, 1);
}

TEST(Decoder, SixteenBitAddressesKeepTheirPairs) {
  const auto load = decode_bytes({0x8b, 0x42, 0x10}, CodeSize::k16).insn;  // mov ax,[bp+si+0x10]
  EXPECT_EQ(load.address_width, 2);
  EXPECT_EQ(load.memory.segment, kSs);
  EXPECT_EQ(load.memory.base, 5);
  EXPECT_EQ(load.memory.index, 6);
}

TEST(Decoder, StringMovesTakeTheOverrideOnTheirSource) {
  const auto insn = decode_bytes({0xf3, 0x64, 0xa4}).insn;  // rep movsb fs:
  EXPECT_TRUE(insn.rep);
  EXPECT_EQ(insn.memory.segment, kFs);
  EXPECT_EQ(insn.operands[0].width, 1);
}

TEST(Decoder, AnOperandWithoutABaseHasNoneWhateverRexSays) {
  // mov eax, [ecx*2 + 0x11223344] with REX.B
  const auto load = decode_bytes({0x67, 0x41, 0x8b, 0x04, 0x4d, 0x44, 0x33, 0x22, 0x11}).insn;
  EXPECT_EQ(load.length, 9);
  EXPECT_EQ(load.memory.base, kNoRegister);
  EXPECT_EQ(load.memory.index, 1);
  EXPECT_EQ(load.memory.displacement, 0x11223344);
}

TEST(Decoder, FarBranchesAreMarked) {
  const auto insn = decode_bytes({0xea, 1, 2, 3, 4, 5, 6}, CodeSize::k32).insn;
  EXPECT_TRUE(insn.far);
  EXPECT_EQ(insn.operands[0].kind, OperandKind::kFar);
  EXPECT_EQ(insn.immediate, 0x04030201u);
  EXPECT_EQ(insn.immediate2, 0x0605u);
  EXPECT_FALSE(decode_bytes({0xe9, 0, 0, 0, 0}).insn.far);
}

TEST(Decoder, AsksForTheRestOfAnInstructionThatIsCutOff) {
  EXPECT_EQ(decode_bytes({0x48}).status, DecodeStatus::kNeedMoreBytes);
  EXPECT_EQ(decode_bytes({0xe9, 0, 0}).status, DecodeStatus::kNeedMoreBytes);
}

TEST(Decoder, MoreThanFifteenBytesAreTooLong) {
  EXPECT_EQ(decode_bytes(std::vector<std::uint8_t>(16, 0x66)).status, DecodeStatus::kTooLong);
  std::vector<std::uint8_t> long_nop(15, 0x66);
  long_nop[14] = 0x90;
  EXPECT_EQ(decode_bytes(long_nop).status, DecodeStatus::kOk);
}

TEST(Decoder, AMaskedFeatureHasNoInstructions) {
  FeatureSet features = everything();
  features.set(Feature::kAes, false);
  const std::vector<std::uint8_t> aesenc{0x66, 0x0f, 0x38, 0xdc, 0xc1};
  EXPECT_EQ(decode_bytes(aesenc).status, DecodeStatus::kOk);
  EXPECT_EQ(decode_bytes(aesenc, CodeSize::k64, features).status, DecodeStatus::kUndefined);
}

TEST(Decoder, WithoutBmi1TzcntIsBsf) {
  FeatureSet features = everything();
  features.set(Feature::kBmi1, false);
  const std::vector<std::uint8_t> tzcnt{0xf3, 0x0f, 0xbc, 0xc1};
  EXPECT_EQ(decode_bytes(tzcnt).insn.mnemonic, ZYDIS_MNEMONIC_TZCNT);
  EXPECT_EQ(decode_bytes(tzcnt, CodeSize::k64, features).insn.mnemonic, ZYDIS_MNEMONIC_BSF);
}

TEST(Decoder, LockOnWhatCannotBeLockedIsUndefined) {
  EXPECT_EQ(decode_bytes({0xf0, 0x01, 0xc0}).status, DecodeStatus::kUndefined);  // lock add eax,eax
  EXPECT_TRUE(decode_bytes({0xf0, 0x01, 0x00}).insn.lock);
}

}  // namespace
}  // namespace vireo::x86
