#include "x86/semantics/operands.h"

#include <cstring>

namespace vireo::x86 {
namespace {

tl::unexpected<Fault> segment_fault(SegmentIndex segment) {
  return fault(segment == kSs ? Vector::kSS : Vector::kGP, 0);
}

}  // namespace

bool within_limit(const Segment& segment, std::uint64_t offset, std::size_t size) {
  const std::uint64_t last = offset + (size ? size - 1 : 0);
  // A segment of 4 GiB has no end: addresses wrap.
  if (!segment.expand_down()) return last <= segment.limit || segment.limit == 0xffffffff;
  const std::uint64_t top = segment.big() ? 0xffffffff : 0xffff;
  return offset > segment.limit && last <= top;
}

std::uint64_t effective_address(const CpuState& state, const Insn& insn) {
  const MemoryOperand& memory = insn.memory;
  std::uint64_t offset = static_cast<std::uint64_t>(memory.displacement);
  if (memory.base == kRipBase)
    offset += state.rip;  // already the next instruction
  else if (memory.base != kNoRegister)
    offset += state.gpr[memory.base];
  if (memory.index != kNoRegister && !memory.vsib)
    offset += state.gpr[memory.index] << memory.scale_shift;
  return offset & width_mask(insn.address_width);
}

OrFault<LinearAddr> linear_address(const CpuState& state, SegmentIndex index, std::uint64_t offset,
                                   std::size_t size, Use use) {
  const Segment& segment = state.segment[index];
  if (state.code64()) {
    const std::uint64_t base = index >= kFs ? segment.base : 0;
    const std::uint64_t address = base + offset;
    if (!canonical(state, address) || (size > 1 && !canonical(state, address + size - 1)))
      return segment_fault(index);
    return LinearAddr{address};
  }
  if (!segment.usable()) return segment_fault(index);
  if (state.protected_mode() && !state.virtual8086()) {
    if (use == Use::kWrite && !segment.writable()) return segment_fault(index);
    if (use == Use::kRead && !segment.readable()) return segment_fault(index);
  }
  if (!within_limit(segment, offset, size)) return segment_fault(index);
  return LinearAddr{(segment.base + offset) & 0xffffffff};
}

OrFault<LinearAddr> memory_address(const CpuState& state, const Insn& insn, std::size_t size,
                                   Use use) {
  return linear_address(state, insn.memory.segment, effective_address(state, insn), size, use);
}

OrFault<> check_alignment(const CpuState& state, LinearAddr address, std::size_t alignment) {
  const bool checked =
      (state.cr0 & cr0::kAm) != 0 && (state.rflags & rflags::kAc) != 0 && state.cpl() == 3;
  if (checked && (value(address) & (alignment - 1)) != 0) return fault(Vector::kAC, 0);
  return Unit{};
}

std::uint64_t read_gpr(const CpuState& state, const Operand& operand) {
  if (operand.kind == OperandKind::kGprHigh) return (state.gpr[operand.number] >> 8) & 0xff;
  return state.gpr[operand.number] & width_mask(operand.width);
}

void write_gpr(CpuState& state, const Operand& operand, std::uint64_t value) {
  std::uint64_t& reg = state.gpr[operand.number];
  if (operand.kind == OperandKind::kGprHigh)
    reg = (reg & ~0xff00ull) | (value & 0xff) << 8;
  else if (operand.width >= 4)
    reg = value & width_mask(operand.width);
  else
    reg = (reg & ~width_mask(operand.width)) | (value & width_mask(operand.width));
}

OrFault<std::uint64_t> read_operand(CpuState& state, CpuPort& port, const Insn& insn, unsigned n) {
  const Operand& operand = insn.operands[n];
  switch (operand.kind) {
    case OperandKind::kGpr:
    case OperandKind::kGprHigh:
      return read_gpr(state, operand);
    case OperandKind::kImmediate:
    case OperandKind::kRelative:
      return insn.immediate;
    case OperandKind::kImmediate2:
      return insn.immediate2;
    case OperandKind::kMemory: {
      const auto address = TRY(memory_address(state, insn, operand.width, Use::kRead));
      std::uint64_t value = 0;
      TRY(port.read(address, std::as_writable_bytes(std::span(&value, 1)).first(operand.width),
                    Privilege::kCurrent));
      return value;
    }
    default:
      return undefined_opcode();
  }
}

OrFault<> write_operand(CpuState& state, CpuPort& port, const Insn& insn, unsigned n,
                        std::uint64_t value) {
  const Operand& operand = insn.operands[n];
  if (operand.kind == OperandKind::kMemory) {
    const auto address = TRY(memory_address(state, insn, operand.width, Use::kWrite));
    return port.write(address, std::as_bytes(std::span(&value, 1)).first(operand.width),
                      Privilege::kCurrent);
  }
  if (operand.kind != OperandKind::kGpr && operand.kind != OperandKind::kGprHigh)
    return undefined_opcode();
  write_gpr(state, operand, value);
  return Unit{};
}

unsigned stack_address_width(const CpuState& state) {
  if (state.code64()) return 8;
  return state.segment[kSs].big() ? 4 : 2;
}

namespace {

/// RSP moved by `delta` in the part of it that the stack uses.
std::uint64_t moved_rsp(const CpuState& state, std::uint64_t delta) {
  const std::uint64_t mask = width_mask(stack_address_width(state));
  const std::uint64_t rsp = state.gpr[kRsp];
  const std::uint64_t kept = mask == 0xffff ? rsp & ~mask : 0;
  return kept | ((rsp + delta) & mask);
}

}  // namespace

OrFault<> push(CpuState& state, CpuPort& port, std::uint64_t value, unsigned width) {
  const std::uint64_t rsp = moved_rsp(state, 0 - std::uint64_t{width});
  const std::uint64_t offset = rsp & width_mask(stack_address_width(state));
  const auto address = TRY(linear_address(state, kSs, offset, width, Use::kWrite));
  TRY(port.write(address, std::as_bytes(std::span(&value, 1)).first(width), Privilege::kCurrent));
  state.gpr[kRsp] = rsp;
  return Unit{};
}

OrFault<std::uint64_t> pop(CpuState& state, CpuPort& port, unsigned width) {
  const std::uint64_t offset = state.gpr[kRsp] & width_mask(stack_address_width(state));
  const auto address = TRY(linear_address(state, kSs, offset, width, Use::kRead));
  std::uint64_t value = 0;
  TRY(port.read(address, std::as_writable_bytes(std::span(&value, 1)).first(width),
                Privilege::kCurrent));
  state.gpr[kRsp] = moved_rsp(state, width);
  return value;
}

OrFault<> branch_to(CpuState& state, std::uint64_t target, unsigned operand_width) {
  if (state.code64()) {
    // Near branches in 64-bit mode are 64 bits wide, whatever the prefix says.
    if (!canonical(state, target)) return general_protection();
    state.rip = target;
    return Unit{};
  }
  target &= width_mask(operand_width);
  if (target > state.segment[kCs].limit) return general_protection();
  state.rip = target;
  return Unit{};
}

}  // namespace vireo::x86
