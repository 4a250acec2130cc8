#pragma once
#include <xbyak/xbyak.h>

#include <cstddef>
#include <cstdint>

#include "engine/translator/translator_cpu.h"

namespace vireo::engine::translator {

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

  /// A displacement, as Xbyak takes it.
  static std::size_t disp(std::int64_t displacement) {
    return static_cast<std::size_t>(displacement);
  }
  static std::uint32_t imm(std::int64_t immediate) { return static_cast<std::uint32_t>(immediate); }

  void load(const Xbyak::Reg64& reg, std::size_t offset) {
    putSeg(gs);
    mov(reg, qword_at(offset));
  }
  void store(std::size_t offset, const Xbyak::Reg64& reg) {
    putSeg(gs);
    mov(qword_at(offset), reg);
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
};

}  // namespace vireo::engine::translator
