#include <cstring>

#include "x86/semantics/fpu_state.h"
#include "x86/semantics/fpu_state_block.h"
#include "x86/semantics/fpu_state_image.h"

namespace vireo::x86 {
namespace {

constexpr std::size_t kOpcode = 6, kInstructionPointer = 8, kDataPointer = 16;
constexpr std::size_t kRegisterBytes = 10, kSlot = 16;

std::size_t used_size(const CpuState& state) {
  return LegacyImage::kXmm + vector_registers(state) * kSlot;
}

/// Both need the x87 and look at nothing pending. SDM vol. 2A, FXSAVE.
OrFault<> check_fxsave(const CpuState& state) { return check_x87_no_wait(state); }

}  // namespace

LegacyImage LegacyImage::of(const FpuState& fpu, bool wide) {
  static_assert(offsetof(FpuState, mxcsr) == kMxcsr && offsetof(FpuState, st) == kX87Registers &&
                offsetof(FpuState, xmm) == kXmm && offsetof(FpuState, ymm_high) == kSize);
  LegacyImage image;
  std::memcpy(image.bytes.data(), &fpu, kSize);
  image.bytes[offsetof(FpuState, reserved0)] = std::byte{0};
  constexpr std::uint32_t mask = mxcsr::kValid;
  std::memcpy(&image.bytes[offsetof(FpuState, mxcsr_mask)], &mask, sizeof mask);
  for (std::size_t i = 0; i < 8; ++i)
    std::memset(&image.bytes[kX87Registers + i * kSlot + kRegisterBytes], 0,
                kSlot - kRegisterBytes);
  if (!wide) {  // offsets of 32 bits; the selectors beside them are deprecated and zero
    std::memset(&image.bytes[kInstructionPointer + 4], 0, 4);
    std::memset(&image.bytes[kDataPointer + 4], 0, 4);
  }
  return image;
}

std::uint32_t LegacyImage::mxcsr() const {
  std::uint32_t result;
  std::memcpy(&result, &bytes[kMxcsr], sizeof result);
  return result;
}

void LegacyImage::load_x87(FpuState& fpu, bool wide) const {
  std::uint16_t control, status;
  std::memcpy(&control, &bytes[offsetof(FpuState, control)], sizeof control);
  std::memcpy(&status, &bytes[offsetof(FpuState, status)], sizeof status);
  fpu.control = loaded_control(control);
  fpu.status = loaded_status(fpu.control, status);
  fpu.tag = std::to_integer<std::uint8_t>(bytes[offsetof(FpuState, tag)]);
  std::memcpy(&fpu.opcode, &bytes[kOpcode], sizeof fpu.opcode);
  fpu.opcode &= 0x7ff;
  fpu.instruction_pointer = fpu.data_pointer = 0;
  std::memcpy(&fpu.instruction_pointer, &bytes[kInstructionPointer], wide ? 8 : 4);
  std::memcpy(&fpu.data_pointer, &bytes[kDataPointer], wide ? 8 : 4);
  for (std::size_t i = 0; i < 8; ++i) {
    fpu.st[i] = {};
    std::memcpy(&fpu.st[i], &bytes[kX87Registers + i * kSlot], kRegisterBytes);
  }
}

void LegacyImage::load_xmm(FpuState& fpu, std::size_t count) const {
  std::memcpy(fpu.xmm.data(), &bytes[kXmm], count * kSlot);
}

OrFault<> fxsave(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_fxsave(state));
  const auto block =
      TRY(StateBlock::locate(state, port, insn, LegacyImage::kSize, 16, Use::kWrite));
  const auto image = LegacyImage::of(state.fpu, insn.mnemonic == ZYDIS_MNEMONIC_FXSAVE64);
  TRY(block.check_write(LegacyImage::kSize));
  return block.write(0, std::span(image.bytes).first(used_size(state)));
}

OrFault<> fxrstor(CpuState& state, CpuPort& port, const Insn& insn) {
  TRY(check_fxsave(state));
  const auto block = TRY(StateBlock::locate(state, port, insn, LegacyImage::kSize, 16, Use::kRead));
  LegacyImage image;
  TRY(block.read(0, image.bytes));
  if (image.mxcsr() & ~mxcsr::kValid) return general_protection();
  image.load_x87(state.fpu, insn.mnemonic == ZYDIS_MNEMONIC_FXRSTOR64);
  state.fpu.mxcsr = image.mxcsr();
  image.load_xmm(state.fpu, vector_registers(state));
  return Unit{};
}

}  // namespace vireo::x86
