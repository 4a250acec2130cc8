#include "engine/translator/long_form.h"

#include <algorithm>

namespace vireo::engine::translator {
namespace {

using x86::Insn;
using x86::Operand;
using x86::OperandKind;

const Operand* memory_operand(const Insn& insn) {
  for (unsigned i = 0; i < insn.operand_count; ++i)
    if (insn.operands[i].kind == OperandKind::kMemory) return &insn.operands[i];
  return nullptr;
}

/// The prefix 66 changes the size of its operands.
bool has_sized_operands(const Insn& insn) {
  const bool x87 = insn.opcode_map == 0 && (insn.opcode & 0xf8) == 0xd8;
  if (x87 || insn.vex) return false;
  return std::all_of(insn.operands.begin(), insn.operands.begin() + insn.operand_count,
                     [](const Operand& operand) {
                       return operand.kind == OperandKind::kGpr ||
                              operand.kind == OperandKind::kGprHigh ||
                              operand.kind == OperandKind::kMemory ||
                              operand.kind == OperandKind::kImmediate;
                     });
}

class Writer {
 public:
  explicit Writer(const Insn& insn) : insn_(insn) {}

  std::span<const std::uint8_t> write() {
    prefixes();
    if (insn_.layout.vex != 0)
      copy(insn_.layout.vex - 1u, insn_.layout.opcode + 1u);
    else
      opcode();
    if (insn_.layout.modrm != 0) operand();
    copy(insn_.layout.immediate, insn_.layout.immediate + insn_.layout.immediate_size);
    return std::span(bytes_).first(length_);
  }

 private:
  void put(unsigned byte) { bytes_[length_++] = static_cast<std::uint8_t>(byte); }
  void copy(unsigned begin, unsigned end) {
    for (unsigned i = begin; i < end; ++i) put(insn_.bytes[i]);
  }

  unsigned opcode_begin() const {
    if (insn_.layout.vex != 0) return insn_.layout.vex - 1u;
    static constexpr unsigned kEscapes[4] = {0, 1, 2, 2};
    return insn_.layout.opcode - kEscapes[insn_.opcode_map & 3];
  }

  /// 66 changes the size of operands the other way round in 16-bit code; in front of what works on
  /// other registers it is a part of the opcode.
  void prefixes() {
    bool lock = false, size = false;
    unsigned repeat = 0;
    for (unsigned i = 0; i < opcode_begin(); ++i) {
      const unsigned byte = insn_.bytes[i];
      lock = lock || byte == 0xf0;
      size = size || byte == 0x66;
      if (byte == 0xf2 || byte == 0xf3) repeat = byte;
    }
    if (insn_.code_size == x86::CodeSize::k16 && has_sized_operands(insn_))
      size = insn_.operand_width == 2;
    if (lock) put(0xf0);
    if (size) put(0x66);
    if (repeat != 0) put(repeat);
  }

  void opcode() {
    const unsigned last = insn_.opcode;
    copy(opcode_begin(), insn_.layout.opcode);
    if (insn_.opcode_map == 0 && (last & 0xf0) == 0x40) {  // INC and DEC without ModRM
      put(0xff);
      put(0xc0 | (last & 15));
    } else if (insn_.opcode_map == 0 && (last & 0xfc) == 0xa0 && memory_operand(insn_)) {
      // MOV between the accumulator and an address without ModRM
      put(0x88 | (last & 1) | ((last & 2) != 0 ? 0u : 2u));
      absolute(0);
    } else {
      put(last);
    }
  }

  void absolute(unsigned reg) {
    put(reg << 3 | 4);
    put(0x25);
    for (int i = 0; i < 4; ++i) put(0);
  }

  void operand() {
    const unsigned modrm = insn_.bytes[insn_.layout.modrm];
    if (modrm < 0xc0)
      absolute(modrm >> 3 & 7);
    else
      put(modrm);
  }

  const Insn& insn_;
  std::array<std::uint8_t, 32> bytes_{};
  std::size_t length_ = 0;
};

bool same_operands(const Insn& a, const Insn& b) {
  if (a.operand_count != b.operand_count) return false;
  for (unsigned i = 0; i < a.operand_count; ++i) {
    const Operand &x = a.operands[i], &y = b.operands[i];
    if (x.kind != y.kind || x.width != y.width) return false;
    if (x.kind != OperandKind::kMemory && x.number != y.number) return false;
  }
  return true;
}

bool same(const Insn& a, const Insn& b) {
  if (has_sized_operands(a) && a.operand_width != b.operand_width) return false;
  return a.mnemonic == b.mnemonic && a.opcode_map == b.opcode_map &&
         a.vector_length == b.vector_length && a.lock == b.lock && a.rep == b.rep &&
         a.repne == b.repne && a.layout.immediate_size == b.layout.immediate_size &&
         same_operands(a, b) && a.effects.flags_written == b.effects.flags_written &&
         a.effects.gpr_written == b.effects.gpr_written;
}

}  // namespace

std::optional<Insn> long_form(const Insn& narrow, x86::DecodeCache& decoder) {
  Writer writer(narrow);
  const auto bytes = writer.write();
  Insn result;
  if (decoder.decode(bytes, x86::CodeSize::k64, result) != x86::DecodeStatus::kOk) return {};
  if (result.length != bytes.size() || !same(narrow, result)) return {};
  return result;
}

}  // namespace vireo::engine::translator
