#pragma once
#include <xbyak/xbyak.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/assert.h"
#include "engine/translator/recording.h"
#include "engine/translator/translator_cpu.h"

namespace vireo::engine::translator {

/// A place in code that jumps lead to before it stands: Xbyak's labels, but for names and the
/// memory that they ask for.
struct Label {
  std::uint8_t* at = nullptr;  ///< null: it does not stand yet
  std::uint32_t waiting = 0;   ///< the last displacement to fill in, which holds the one before
  std::uint8_t* waiting_byte = nullptr;  ///< the one of 8 bits
};

/// Xbyak with the vCPU's fields as operands: every access to them goes through GS.
class Assembler : protected Xbyak::CodeGenerator {
 public:
  Assembler(std::uint8_t* writable, std::size_t room) : CodeGenerator(room, writable) {}

 protected:
  static Xbyak::Address field(std::size_t offset, std::uint32_t bits) {
    return {bits, false, Xbyak::RegExp(offset)};
  }
  static Xbyak::Address qword_at(std::size_t offset) { return field(offset, 64); }
  static Xbyak::Address dword_at(std::size_t offset) { return field(offset, 32); }
  static Xbyak::Address word_at(std::size_t offset) { return field(offset, 16); }
  static Xbyak::Address byte_at(std::size_t offset) { return field(offset, 8); }

  /// The last 32 bits depend on where the code stands, or on who runs it.
  void note(Relocation::Of of) {
    if (recording_ != nullptr) recording_->note(getCurr() - 4, of);
  }

  /// A displacement, as Xbyak takes it.
  static std::size_t disp(std::int64_t displacement) {
    return static_cast<std::size_t>(displacement);
  }
  static std::uint32_t imm(std::int64_t immediate) { return static_cast<std::uint32_t>(immediate); }

  void load(const Xbyak::Reg64& reg, std::size_t offset) { move_field(0x8b, reg, offset); }
  void store(std::size_t offset, const Xbyak::Reg64& reg) { move_field(0x89, reg, offset); }
  /// Code as it is.
  void append(const void* code, std::size_t size) {
    std::memcpy(current(), code, size);
    setSize(getSize() + size);
  }
  /// A writable address.
  std::uint8_t* current() { return const_cast<std::uint8_t*>(getCurr()); }

  using CodeGenerator::jecxz;
  using CodeGenerator::jmp;
  using CodeGenerator::jrcxz;
  using CodeGenerator::L;
  void L(Label& label) {
    label.at = current();
    while (label.waiting != 0) {
      std::uint8_t* displacement = const_cast<std::uint8_t*>(getCode()) + label.waiting;
      std::memcpy(&label.waiting, displacement, sizeof(label.waiting));
      const auto distance = static_cast<std::int32_t>(label.at - (displacement + 4));
      std::memcpy(displacement, &distance, sizeof(distance));
      note_distance(displacement, label.at);
    }
    if (label.waiting_byte == nullptr) return;
    const std::ptrdiff_t distance = label.at - (label.waiting_byte + 1);
    VIREO_ASSERT(distance < 128);
    *label.waiting_byte = static_cast<std::uint8_t>(distance);
  }
  void jmp(Label& label) {
    db(0xe9);
    distance_to(label);
  }
  void jump_short(Label& label) { short_form(0xeb, label); }
  void jrcxz(Label& label) { short_form(0xe3, label); }
  void jecxz(Label& label) {
    db(0x67);
    short_form(0xe3, label);
  }
  /// A condition's number is that in the opcode. SDM vol. 2D, table B-10.
  void jcc(unsigned condition, Label& label) {
    db(0x0f);
    db(static_cast<int>(0x80 | condition));
    distance_to(label);
  }
  void jae(Label& label) { jcc(3, label); }
  void je(Label& label) { jcc(4, label); }
  void jz(Label& label) { jcc(4, label); }
  void jne(Label& label) { jcc(5, label); }
  void jnz(Label& label) { jcc(5, label); }
  void jbe(Label& label) { jcc(6, label); }
  void ja(Label& label) { jcc(7, label); }
  void jg(Label& label) { jcc(15, label); }
  using CodeGenerator::lea;
  void lea(const Xbyak::Reg64& reg, Label& label) {
    const auto number = static_cast<unsigned>(reg.getIdx());
    db(static_cast<int>(0x48 | (number >> 3) << 2));
    db(0x8d);
    db(static_cast<int>(0x05 | (number & 7) << 3));
    distance_to(label);
  }
  void jump_to_field(std::size_t offset) {
    putSeg(gs);
    jmp(qword_at(offset));
  }
  /// The arithmetic flags to Cpu::flags. Spoils RAX.
  void take_flags() {
    lahf();
    seto(al);
    putSeg(gs);
    mov(word_at(at::kFlags), ax);
  }
  /// The arithmetic flags from Cpu::flags. Spoils RAX.
  void bring_flags() {
    putSeg(gs);
    movzx(eax, word_at(at::kFlags));
    add(al, 0x7f);
    sahf();
  }

  Recording* recording_ = nullptr;  ///< null: nobody asks for one

 private:
  /// MOV of 64 bits, to or from [gs:offset].
  void move_field(std::uint8_t opcode, const Xbyak::Reg64& reg, std::size_t offset) {
    const auto number = static_cast<unsigned>(reg.getIdx());
    const auto place = static_cast<std::uint32_t>(offset);
    std::uint8_t code[9]{0x65, static_cast<std::uint8_t>(0x48 | (number >> 3) << 2), opcode,
                         static_cast<std::uint8_t>(0x04 | (number & 7) << 3), 0x25};
    std::memcpy(code + 5, &place, sizeof(place));
    append(code, sizeof(code));
  }
  void distance_to(Label& label) {
    if (label.at != nullptr) {
      note_distance(getCurr(), label.at);
      dd(static_cast<std::uint32_t>(label.at - (getCurr() + 4)));
    } else {
      const auto here = static_cast<std::uint32_t>(getSize());
      dd(label.waiting);
      label.waiting = here;
    }
  }
  void note_distance(const std::uint8_t* place, const std::uint8_t* target) {
    if (recording_ != nullptr) recording_->note_distance(place, target);
  }
  void short_form(std::uint8_t opcode, Label& label) {
    VIREO_ASSERT(label.at == nullptr && label.waiting_byte == nullptr);
    db(opcode);
    label.waiting_byte = current();
    db(0);
  }
};

}  // namespace vireo::engine::translator
