#include <array>

#include "x86/semantics/integer.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

/// PUSH and POP are 64 bits wide in 64-bit code unless a prefix makes them 16.
unsigned stack_width(const Insn& insn) {
  if (insn.code_size != CodeSize::k64) return insn.operand_width;
  return insn.operand_width == 2 ? 2 : 8;
}

OrFault<> push_operand(CpuState& state, CpuPort& port, const Insn& insn) {
  return push(state, port, TRY(read_operand(state, port, insn, 0)), stack_width(insn));
}

/// POP computes the address of a memory operand with RSP already incremented. SDM vol. 2B, POP.
OrFault<> pop_operand(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t rsp = state.gpr[kRsp];
  const std::uint64_t data = TRY(pop(state, port, stack_width(insn)));
  const auto written = write_operand(state, port, insn, 0, data);
  if (!written) state.gpr[kRsp] = rsp;
  return written;
}

OrFault<> push_all(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t rsp = state.gpr[kRsp];
  for (unsigned n = 0; n < 8; ++n) {
    const std::uint64_t data = n == kRsp ? rsp : state.gpr[n];
    if (const auto done = push(state, port, data, insn.operand_width); !done) {
      state.gpr[kRsp] = rsp;
      return done;
    }
  }
  return Unit{};
}

OrFault<> pop_all(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t rsp = state.gpr[kRsp];
  std::array<std::uint64_t, 8> popped{};
  for (unsigned n = 8; n-- > 0;) {
    const auto data = pop(state, port, insn.operand_width);
    if (!data) {
      state.gpr[kRsp] = rsp;
      return tl::unexpected(data.error());
    }
    popped[n] = *data;
  }
  for (std::uint8_t n = 0; n < 8; ++n)
    if (n != kRsp) write_gpr(state, {OperandKind::kGpr, n, insn.operand_width}, popped[n]);
  return Unit{};
}

Operand frame_pointer(unsigned width) {
  return {OperandKind::kGpr, kRbp, static_cast<std::uint16_t>(width)};
}

OrFault<> leave(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t rsp = state.gpr[kRsp];
  const unsigned stack = stack_address_width(state);
  write_gpr(state, {OperandKind::kGpr, kRsp, static_cast<std::uint16_t>(stack)},
            state.gpr[kRbp] & width_mask(stack));
  const auto data = pop(state, port, stack_width(insn));
  if (!data) {
    state.gpr[kRsp] = rsp;
    return tl::unexpected(data.error());
  }
  write_gpr(state, frame_pointer(stack_width(insn)), *data);
  return Unit{};
}

/// The frame pointers of the enclosing procedures, copied for a nesting level of 2 and more.
OrFault<> copy_display(CpuState& state, CpuPort& port, unsigned level, unsigned width) {
  const std::uint64_t mask = width_mask(stack_address_width(state));
  std::uint64_t rbp = state.gpr[kRbp];
  for (unsigned i = 1; i < level; ++i) {
    rbp -= width;
    const auto address = TRY(linear_address(state, kSs, rbp & mask, width, Use::kRead));
    std::uint64_t data = 0;
    TRY(port.read(address, std::as_writable_bytes(std::span(&data, 1)).first(width),
                  Privilege::kCurrent));
    TRY(push(state, port, data, width));
  }
  return Unit{};
}

OrFault<> enter_frame(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = stack_width(insn);
  const std::uint64_t size = insn.immediate & 0xffff;
  const unsigned level = static_cast<unsigned>(insn.immediate2) % 32;
  TRY(push(state, port, state.gpr[kRbp], width));
  const std::uint64_t frame = state.gpr[kRsp];
  if (level > 1) TRY(copy_display(state, port, level, width));
  if (level > 0) TRY(push(state, port, frame, width));
  const unsigned stack = stack_address_width(state);
  const std::uint64_t rsp = (state.gpr[kRsp] - size) & width_mask(stack);
  // The new top of stack must be writable. SDM vol. 2A, ENTER.
  const auto top = TRY(linear_address(state, kSs, rsp, width, Use::kWrite));
  TRY(port.check_write(top, width, Privilege::kCurrent));
  write_gpr(state, {OperandKind::kGpr, kRsp, static_cast<std::uint16_t>(stack)}, rsp);
  write_gpr(state, frame_pointer(width), frame);
  return Unit{};
}

OrFault<> enter(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint64_t rsp = state.gpr[kRsp];
  const auto done = enter_frame(state, port, insn);
  if (!done) state.gpr[kRsp] = rsp;
  return done;
}

constexpr HandlerRow kRows[] = {
    {ZYDIS_MNEMONIC_PUSH, push_operand}, {ZYDIS_MNEMONIC_POP, pop_operand},
    {ZYDIS_MNEMONIC_PUSHA, push_all},    {ZYDIS_MNEMONIC_PUSHAD, push_all},
    {ZYDIS_MNEMONIC_POPA, pop_all},      {ZYDIS_MNEMONIC_POPAD, pop_all},
    {ZYDIS_MNEMONIC_LEAVE, leave},       {ZYDIS_MNEMONIC_ENTER, enter},
};

}  // namespace

std::span<const HandlerRow> stack_handlers() { return kRows; }

}  // namespace vireo::x86
