#include <array>
#include <cstring>

#include "x86/semantics/fpu_state.h"
#include "x86/semantics/fpu_state_block.h"

namespace vireo::x86 {
namespace {

// SDM vol. 1, 8.1.10. The selectors of FIP and FDP are deprecated and always zero, as CPUID leaf 7
// EBX bit 13 says of every recent CPU.

constexpr std::size_t kRegisterBytes = 10;
constexpr std::size_t kRegistersBytes = 8 * kRegisterBytes;
constexpr unsigned kTagValid = 0, kTagZero = 1, kTagSpecial = 2, kTagEmpty = 3;

/// An environment as seven words of 2 or 4 bytes: control, status, tag, instruction pointer,
/// selector or upper pointer, data pointer, selector or upper pointer.
struct Environment {
  std::array<std::uint32_t, 7> word{};
};

bool wide(const Insn& insn) { return insn.operand_width != 2; }
std::size_t word_size(const Insn& insn) { return wide(insn) ? 4 : 2; }
std::size_t environment_size(const Insn& insn) { return 7 * word_size(insn); }

unsigned tag_of(const std::array<std::uint64_t, 2>& st) {
  const std::uint64_t exponent = st[1] & 0x7fff;
  if (exponent == 0x7fff) return kTagSpecial;
  if (exponent == 0) return st[0] == 0 ? kTagZero : kTagSpecial;
  return (st[0] >> 63) ? kTagValid : kTagSpecial;
}

/// The tag word of the 8087, two bits for each physical register.
std::uint16_t full_tag(const FpuState& fpu) {
  const unsigned top = (fpu.status >> x87_status::kTopShift) & 7;
  unsigned result = 0;
  for (unsigned physical = 0; physical < 8; ++physical) {
    const bool used = (fpu.tag >> physical) & 1;
    const unsigned tag = used ? tag_of(fpu.st[(physical - top) & 7]) : kTagEmpty;
    result |= tag << (physical * 2);
  }
  return static_cast<std::uint16_t>(result);
}

std::uint8_t abridged_tag(std::uint32_t full) {
  unsigned result = 0;
  for (unsigned physical = 0; physical < 8; ++physical)
    if (((full >> (physical * 2)) & 3) != kTagEmpty) result |= 1u << physical;
  return static_cast<std::uint8_t>(result);
}

/// Whether pointers are stored in the form of real and virtual-8086 mode: the upper bits of an
/// address beside the opcode, where protected mode has a selector.
bool real_format(const CpuState& state) { return !state.protected_mode() || state.virtual8086(); }

Environment environment_of(const CpuState& state, const Insn& insn) {
  const FpuState& fpu = state.fpu;
  const auto ip = static_cast<std::uint32_t>(fpu.instruction_pointer);
  const auto dp = static_cast<std::uint32_t>(fpu.data_pointer);
  const std::uint32_t opcode = fpu.opcode & 0x7ff;
  const std::uint32_t ones = 0xffff0000;
  Environment result{{fpu.control | ones, fpu.status | ones, full_tag(fpu) | ones, ip, 0, dp, 0}};
  auto& word = result.word;
  if (real_format(state)) {
    word[3] &= 0xffff, word[5] &= 0xffff;
    word[4] = (wide(insn) ? (ip >> 16) << 12 : (ip >> 4) & 0xf000) | opcode;
    word[6] = wide(insn) ? (dp >> 16) << 12 : (dp >> 4) & 0xf000;
  } else if (wide(insn)) {
    word[4] = opcode << 16;
    word[6] = ones;
  }
  return result;
}

void load_environment(CpuState& state, const Insn& insn, const Environment& environment) {
  const auto& word = environment.word;
  FpuState& fpu = state.fpu;
  fpu.control = loaded_control(static_cast<std::uint16_t>(word[0]));
  move_top(fpu, (word[1] >> x87_status::kTopShift) & 7);
  fpu.status = loaded_status(fpu.control, static_cast<std::uint16_t>(word[1]));
  fpu.tag = abridged_tag(word[2]);
  fpu.instruction_pointer = word[3];
  fpu.data_pointer = word[5];
  if (real_format(state)) {
    fpu.instruction_pointer = (word[3] & 0xffff) | ((word[4] & 0x0ffff000) << 4);
    fpu.data_pointer = (word[5] & 0xffff) | ((word[6] & 0x0ffff000) << 4);
    fpu.opcode = word[4] & 0x7ff;
  } else if (wide(insn)) {
    fpu.opcode = (word[4] >> 16) & 0x7ff;
  }
}

void pack(const Environment& environment, const Insn& insn, std::byte* bytes) {
  const std::size_t size = word_size(insn);
  for (std::size_t i = 0; i < environment.word.size(); ++i)
    std::memcpy(bytes + i * size, &environment.word[i], size);
}

Environment unpack(const Insn& insn, const std::byte* bytes) {
  const std::size_t size = word_size(insn);
  Environment result;
  for (std::size_t i = 0; i < result.word.size(); ++i)
    std::memcpy(&result.word[i], bytes + i * size, size);
  return result;
}

using Image = std::array<std::byte, 28 + kRegistersBytes>;

}  // namespace

OrFault<> fnstenv(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_x87_no_wait(state));
  const std::size_t size = environment_size(insn);
  const auto block = TRY(StateBlock::locate(state, port, insn, size, word_size(insn), Use::kWrite));
  Image image;
  pack(environment_of(state, insn), insn, image.data());
  TRY(block.write(0, std::span(image).first(size)));
  state.fpu.control |= fp_exception::kAll;
  state.fpu.status = loaded_status(state.fpu.control, state.fpu.status);
  return Unit{};
}

OrFault<> fldenv(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_x87(state));
  const std::size_t size = environment_size(insn);
  const auto block = TRY(StateBlock::locate(state, port, insn, size, word_size(insn), Use::kRead));
  Image image;
  TRY(block.read(0, std::span(image).first(size)));
  load_environment(state, insn, unpack(insn, image.data()));
  return Unit{};
}

OrFault<> fnsave(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_x87_no_wait(state));
  const std::size_t start = environment_size(insn);
  const std::size_t size = start + kRegistersBytes;
  const auto block = TRY(StateBlock::locate(state, port, insn, size, word_size(insn), Use::kWrite));
  Image image;
  pack(environment_of(state, insn), insn, image.data());
  for (std::size_t i = 0; i < 8; ++i)
    std::memcpy(&image[start + i * kRegisterBytes], &state.fpu.st[i], kRegisterBytes);
  TRY(block.check_write(size));
  TRY(block.write(0, std::span(image).first(size)));
  initialize_x87(state.fpu);
  return Unit{};
}

OrFault<> frstor(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_x87(state));
  const std::size_t start = environment_size(insn);
  const std::size_t size = start + kRegistersBytes;
  const auto block = TRY(StateBlock::locate(state, port, insn, size, word_size(insn), Use::kRead));
  Image image;
  TRY(block.read(0, std::span(image).first(size)));
  load_environment(state, insn, unpack(insn, image.data()));
  for (std::size_t i = 0; i < 8; ++i) {
    state.fpu.st[i] = {};
    std::memcpy(&state.fpu.st[i], &image[start + i * kRegisterBytes], kRegisterBytes);
  }
  return Unit{};
}

}  // namespace vireo::x86
