#include "x86/semantics/segment.h"

#include <array>

#include "x86/delivery/segment_rules.h"
#include "x86/delivery/stack_access.h"
#include "x86/semantics/operands.h"

namespace vireo::x86 {
namespace {

OrFault<Segment> protected_stack_segment(const CpuState& state, CpuPort& port,
                                         std::uint16_t selector) {
  const unsigned cpl = state.cpl();
  if (is_null(selector) && state.code64() && cpl != 3 && (selector & 3) == cpl)
    return null_segment(selector, cpl);
  return stack_segment(state, port, selector, cpl, Raise{});
}

OrFault<Segment> fetch_segment(const CpuState& state, CpuPort& port, SegmentIndex index,
                               std::uint16_t selector) {
  if (!state.protected_mode()) return real_mode_segment(state.segment[index], index, selector);
  if (state.virtual8086()) return virtual8086_segment(selector);
  return index == kSs ? protected_stack_segment(state, port, selector)
                      : data_segment(state, port, selector, Raise{});
}

SegmentIndex segment_operand(const Operand& operand) {
  return static_cast<SegmentIndex>(operand.number);
}

OrFault<> mov_to_segment(CpuState& state, CpuPort& port, const Insn& insn) {
  const SegmentIndex index = segment_operand(insn.operands[0]);
  const auto selector = static_cast<std::uint16_t>(TRY(read_operand(state, port, insn, 1)));
  TRY(load_segment(state, port, index, selector));
  if (index == kSs) state.mov_ss_shadow = 1;
  return Unit{};
}

/// A register takes the selector zero-extended to the operand size; memory always takes 2 bytes.
OrFault<> mov_from_segment(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint16_t selector = state.segment[segment_operand(insn.operands[1])].selector;
  if (insn.operands[0].kind != OperandKind::kMemory)
    return write_operand(state, port, insn, 0, selector);
  const auto address = TRY(memory_address(state, insn, 2, Use::kWrite));
  return port.write_value(address, selector, Privilege::kCurrent);
}

OrFault<> mov_segment(CpuState& state, CpuPort& port, const Insn& insn) {
  return insn.operands[0].kind == OperandKind::kSegment ? mov_to_segment(state, port, insn)
                                                        : mov_from_segment(state, port, insn);
}

OrFault<> push_segment(CpuState& state, CpuPort& port, const Insn& insn) {
  const std::uint16_t selector = state.segment[segment_operand(insn.operands[0])].selector;
  return push(state, port, selector, insn.operand_width);
}

OrFault<> pop_segment(CpuState& state, CpuPort& port, const Insn& insn) {
  const SegmentIndex index = segment_operand(insn.operands[0]);
  StackAccess stack(state, port);
  const auto selector = static_cast<std::uint16_t>(TRY(stack.pop(insn.operand_width)));
  TRY(load_segment(state, port, index, selector));
  state.gpr[kRsp] = stack.rsp();
  if (index == kSs) state.mov_ss_shadow = 1;
  return Unit{};
}

template <SegmentIndex index>
OrFault<> load_far_pointer(CpuState& state, CpuPort& port, const Insn& insn) {
  const unsigned width = insn.operand_width;
  const auto address = TRY(memory_address(state, insn, width + 2u, Use::kRead));
  std::array<std::byte, 10> bytes{};
  TRY(port.read(address, std::span(bytes).first(width + 2u), Privilege::kCurrent));
  std::uint64_t offset = 0;
  std::uint16_t selector = 0;
  std::memcpy(&offset, bytes.data(), width);
  std::memcpy(&selector, &bytes[width], sizeof(selector));
  TRY(load_segment(state, port, index, selector));
  write_gpr(state, insn.operands[0], offset);
  return Unit{};
}

constexpr std::array kMoves{
    HandlerRow{ZYDIS_MNEMONIC_MOV, mov_segment},
    HandlerRow{ZYDIS_MNEMONIC_PUSH, push_segment},
    HandlerRow{ZYDIS_MNEMONIC_POP, pop_segment},
};

constexpr std::array kFarPointers{
    HandlerRow{ZYDIS_MNEMONIC_LDS, load_far_pointer<kDs>},
    HandlerRow{ZYDIS_MNEMONIC_LES, load_far_pointer<kEs>},
    HandlerRow{ZYDIS_MNEMONIC_LFS, load_far_pointer<kFs>},
    HandlerRow{ZYDIS_MNEMONIC_LGS, load_far_pointer<kGs>},
    HandlerRow{ZYDIS_MNEMONIC_LSS, load_far_pointer<kSs>},
};

}  // namespace

OrFault<> load_segment(CpuState& state, CpuPort& port, SegmentIndex index, std::uint16_t selector) {
  if (index == kCs || index >= kSegmentCount) return undefined_opcode();
  state.segment[index] = TRY(fetch_segment(state, port, index, selector));
  if (index == kSs) port.mode_changed();
  return Unit{};
}

std::span<const HandlerRow> segment_move_handlers() { return kMoves; }
std::span<const HandlerRow> far_pointer_handlers() { return kFarPointers; }

}  // namespace vireo::x86
