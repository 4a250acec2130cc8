// Any bytes: the decoder answers, and what it answers keeps its promises.
#include <algorithm>

#include "base/assert.h"
#include "fuzz/fuzz_input.h"
#include "x86/decode/decoder.h"

namespace vireo::test {
namespace {

using namespace vireo::x86;

FeatureSet all_features() {
  FeatureSet features;
  for (std::size_t i = 0; i < static_cast<std::size_t>(Feature::kCount); ++i)
    features.set(static_cast<Feature>(i));
  return features;
}

bool in_range(const Operand& operand) {
  switch (operand.kind) {
    case OperandKind::kGpr:
    case OperandKind::kControl:
    case OperandKind::kDebug:
    case OperandKind::kXmm:
    case OperandKind::kYmm:
      return operand.number < 16;
    case OperandKind::kGprHigh:
      return operand.number < 4;
    case OperandKind::kSegment:
      return operand.number < kSegmentCount;
    case OperandKind::kX87:
    case OperandKind::kMmx:
      return operand.number < 8;
    default:
      return true;
  }
}

void check(const Insn& insn, std::span<const std::uint8_t> bytes, CodeSize code_size) {
  VIREO_ASSERT(insn.length >= 1 && insn.length <= kMaxInsnLength && insn.length <= bytes.size());
  VIREO_ASSERT(insn.code_size == code_size);
  VIREO_ASSERT(insn.operand_count <= insn.operands.size());
  VIREO_ASSERT(std::equal(bytes.begin(), bytes.begin() + insn.length, insn.bytes.begin()));
  for (unsigned i = 0; i < insn.operand_count; ++i) VIREO_ASSERT(in_range(insn.operands[i]));
  const MemoryOperand& memory = insn.memory;
  VIREO_ASSERT(memory.segment < kSegmentCount && memory.scale_shift <= 3);
  VIREO_ASSERT(memory.base <= kRipBase || memory.base == kNoRegister);
  VIREO_ASSERT(memory.index < 16 || memory.index == kNoRegister);
}

void decode_all(std::span<const std::uint8_t> bytes) {
  static const FeatureSet features = all_features();
  for (const CodeSize code_size : {CodeSize::k16, CodeSize::k32, CodeSize::k64}) {
    Insn insn;
    if (decode(bytes, code_size, features, insn) != DecodeStatus::kOk) continue;
    check(insn, bytes, code_size);
    // The bytes of the instruction alone are enough, and less are not.
    Insn again;
    VIREO_ASSERT(decode(bytes.first(insn.length), code_size, features, again) == DecodeStatus::kOk);
    VIREO_ASSERT(again.mnemonic == insn.mnemonic && again.length == insn.length);
    VIREO_ASSERT(decode(bytes.first(insn.length - 1u), code_size, features, again) !=
                 DecodeStatus::kOk);
  }
}

}  // namespace
}  // namespace vireo::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vireo::test::decode_all({data, size});
  return 0;
}
