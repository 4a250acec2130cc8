#include "engine/translator/displaced.h"
#include "engine/translator/emitter.h"
#include "engine/translator/system_offsets.h"
#include "x86/cpu_state.h"

// Code that is not 64-bit. Offsets have 32 bits, or 16, and wrap; the upper halves of general
// registers mean nothing in them. RSP is in host form as in 64-bit code, and its upper half is zero
// unless the mode was entered otherwise: then no stack window opens.

namespace vireo::engine::translator {
namespace {

using x86::kNoRegister;

Xbyak::Reg64 host(unsigned gpr) { return Xbyak::Reg64(static_cast<int>(gpr)); }

/// The low bytes of a register that an operand of so many bytes takes.
Xbyak::Reg part(const Xbyak::Reg64& reg, unsigned width) {
  return width == 2 ? Xbyak::Reg(reg.cvt16()) : Xbyak::Reg(reg.cvt32());
}

Xbyak::Address memory(const Xbyak::RegExp& at, unsigned width) { return {8 * width, false, at}; }

}  // namespace

/// R10: the offset of the operand in its segment, cut to the address size. Spoils R11, keeps the
/// flags.
void Emitter::narrow_offset(const Step& step) {
  const x86::MemoryOperand& operand = step.insn.memory;
  const auto displacement = static_cast<std::int32_t>(operand.displacement);
  const bool word = step.insn.address_width == 2;
  if (operand.base == kNoRegister && operand.index == kNoRegister) {
    mov(r10d, static_cast<std::uint32_t>(word ? displacement & 0xffff : displacement));
    return;
  }
  Xbyak::RegExp offset;
  if (operand.base != kNoRegister) {
    if (displaced(operand.base)) load_guest(r10, operand.base);
    offset = displaced(operand.base) ? r10 : host(operand.base);
  }
  if (operand.index != kNoRegister) {
    const Xbyak::RegExp scaled = host(operand.index) * (1 << operand.scale_shift);
    offset = operand.base != kNoRegister ? offset + scaled : scaled;
  }
  lea(r10d, ptr[offset + disp(displacement)]);
  if (word) movzx(r10d, r10w);
}

/// R10: from an offset to the linear address of so many bytes, which are in the segment. Spoils R11
/// and the flags.
void Emitter::narrow_segment(std::size_t index, unsigned segment, unsigned size) {
  const SegmentForm form = translation_->mode.narrow.form(segment);
  if (form == SegmentForm::kFlat) return;
  if (form == SegmentForm::kLimited) {
    Label& cold = new_label();
    putSeg(gs);
    mov(r11d, dword_at(at::segment(segment) + offsetof(x86::Segment, limit)));
    if (size > 1) sub(r11, size - 1);
    cmp(r10, r11);
    jg(cold);
    cold_call(index, add_site(step(index)), cold);
  }
  putSeg(gs);
  add(r10d, dword_at(at::segment_base(segment)));
}

/// What access() does in other code.
HostMemory Emitter::narrow_access(std::size_t index, unsigned scratch_wanted) {
  const Step& now = step(index);
  spoil_flags(index);
  const std::uint32_t site = add_site(now);
  tables_.sites[site].retry = here();
  if (const auto address = constant_address(now)) return find_constant(index, site, *address);
  narrow_offset(now);
  narrow_segment(index, now.insn.memory.segment, now.memory_size);
  check(index, site, now.memory_size, now.memory_written, now.alignment);
  HostMemory result;
  result.base = x86::kR10;
  if (scratch_wanted == 0) {
    to_linear_address(now, now.memory_written);
    load_from_tlb(now);
    result.index = x86::kR11;
  } else {
    to_host_address(now, now.memory_written);
  }
  return result;
}

/// LEA.
void Emitter::narrow_load_address(const Step& now) {
  const x86::Operand& to = now.insn.operands[0];
  narrow_offset(now);
  if (!displaced(to.number)) {
    mov(part(host(to.number), to.width), part(r10, to.width));
  } else if (to.width == 2) {
    load_guest(r11, to.number);
    mov(r11w, r10w);
    store_guest(to.number, r11);
  } else {
    store_guest(to.number, r10);
  }
}

/// The operand of a step that uses the stack at the guest's stack pointer + displacement, checked:
/// [R10], R11 is free.
HostMemory Emitter::narrow_stack_slot(std::size_t index, std::int32_t displacement, bool write) {
  const auto size = static_cast<unsigned>(step(index).stack_width());
  spoil_flags(index);
  const std::uint32_t site = add_site(step(index));
  tables_.sites[site].retry = here();
  load_guest(r10, x86::kRsp);
  lea(r10d, ptr[r10 + disp(displacement)]);
  if (!translation_->mode.narrow.big_stack) movzx(r10d, r10w);
  narrow_segment(index, x86::kSs, size);
  check(index, site, size, write, 1);
  to_host_address(step(index), write);
  HostMemory result;
  result.base = x86::kR10;
  return result;
}

/// Moves the stack pointer, anywhere. Spoils the scratch registers, keeps the flags.
void Emitter::move_stack(std::int32_t amount) {
  load_guest(r10, x86::kRsp);
  if (translation_->mode.narrow.big_stack) {
    lea(r10d, ptr[r10 + disp(amount)]);
  } else {
    lea(r11d, ptr[r10 + disp(amount)]);
    mov(r10w, r11w);
  }
  store_guest(x86::kRsp, r10);
}

/// ADD, SUB or LEA of a constant to ESP. A window has a page on either side before addresses wrap.
void Emitter::narrow_adjust_stack(std::size_t index) {
  const Step& now = step(index);
  const x86::Insn& insn = now.insn;
  const bool lea_form = insn.mnemonic == ZYDIS_MNEMONIC_LEA;
  const auto amount = static_cast<std::int32_t>(
      lea_form ? insn.memory.displacement : static_cast<std::int64_t>(insn.immediate));
  const bool down = insn.mnemonic == ZYDIS_MNEMONIC_SUB;
  const std::int64_t change = down ? -std::int64_t{amount} : std::int64_t{amount};
  const std::int64_t where = now.stack_offset + change;
  const bool near = now.stack_known && block_->stack_low != block_->stack_high &&
                    where <= Superblock::kMaxStackSpan && where >= -Superblock::kMaxStackSpan;
  if (!lea_form && sets_flags(now)) {
    load_guest(r10, x86::kRsp);
    if (down)
      sub(r10d, imm(amount));
    else
      add(r10d, imm(amount));
  }
  if (near) {
    lea(rsp, ptr[rsp + disp(change)]);
    return;
  }
  load_guest(r10, x86::kRsp);
  lea(r10d, ptr[r10 + disp(static_cast<std::int32_t>(change))]);
  store_guest(x86::kRsp, r10);
}

/// Spoils R11.
void Emitter::narrow_push_operand(const Step& now, const Xbyak::RegExp& to) {
  const x86::Operand& operand = now.insn.operands[0];
  const auto width = static_cast<unsigned>(now.stack_width());
  if (operand.kind == x86::OperandKind::kImmediate) {
    const std::uint64_t cut = width == 2 ? now.insn.immediate & 0xffff : now.insn.immediate;
    mov(memory(to, width), static_cast<std::uint32_t>(cut));
  } else if (displaced(operand.number)) {
    load_guest(r11, operand.number);
    mov(memory(to, width), part(r11, width));
  } else {
    mov(memory(to, width), part(host(operand.number), width));
  }
}

void Emitter::narrow_push(std::size_t index) {
  const Step& now = step(index);
  const std::int32_t width = now.stack_width();
  const auto size = static_cast<unsigned>(width);
  if (now.has_memory) {
    mov(part(r10, size), memory(host_address(access(index, 0)), size));
    if (now.on_stack) {
      mov(memory(rsp - size, size), part(r10, size));
    } else {
      store(at::kTarget, r10);
      narrow_stack_slot(index, -width, true);
      load(r11, at::kTarget);
      mov(memory(r10, size), part(r11, size));
    }
  } else if (now.on_stack) {
    narrow_push_operand(now, rsp - size);
  } else {
    narrow_stack_slot(index, -width, true);
    narrow_push_operand(now, r10);
  }
  if (now.on_stack)
    lea(rsp, ptr[rsp - size]);
  else
    move_stack(-width);
}

void Emitter::narrow_pop(std::size_t index) {
  const Step& now = step(index);
  const unsigned to = now.insn.operands[0].number;
  const std::int32_t width = now.stack_width();
  const auto size = static_cast<unsigned>(width);
  if (!now.on_stack) narrow_stack_slot(index, 0, false);
  const Xbyak::RegExp from = now.on_stack ? Xbyak::RegExp(rsp) : Xbyak::RegExp(r10);
  if (to == x86::kRsp) {
    mov(r10d, memory(from, size));
    store_guest(to, r10);
    return;
  }
  mov(part(host(to), size), memory(from, size));
  if (now.on_stack)
    lea(rsp, ptr[rsp + size]);
  else
    move_stack(width);
}

/// ESP = EBP; POP EBP, where the stack is flat.
void Emitter::narrow_leave(std::size_t index) {
  spoil_flags(index);
  const std::uint32_t site = add_site(step(index));
  tables_.sites[site].retry = here();
  mov(r10d, ebp);
  check(index, site, 4, false, 1);
  to_host_address(step(index), false);
  mov(r10d, ptr[r10]);
  lea(r11d, ptr[rbp + 4]);
  load(rsp, at::kStackDelta);
  lea(rsp, ptr[rsp + r11]);
  mov(ebp, r10d);
}

/// Spoils the scratch registers, but keeps TranslatorCpu::target.
void Emitter::narrow_push_return_address(std::size_t index) {
  const Step& now = step(index);
  const std::int32_t width = now.stack_width();
  const auto size = static_cast<unsigned>(width);
  const std::uint32_t eip =
      translation_->mode.narrow.eip(tag_at(std::int64_t{now.offset} + now.insn.length));
  const std::uint32_t cut = size == 2 ? eip & 0xffff : eip;
  if (now.on_stack) {
    mov(memory(rsp - size, size), cut);
    lea(rsp, ptr[rsp - size]);
    return;
  }
  narrow_stack_slot(index, -width, true);
  mov(memory(r10, size), cut);
  move_stack(-width);
}

/// R10 is an EIP that CS holds, unless C++ takes over. Spoils the flags where there is a check.
void Emitter::narrow_check_target(std::size_t index) {
  const std::uint32_t limit = translation_->mode.narrow.code_limit;
  const std::uint32_t reach = step(index).stack_width() == 2 ? 0xffff : 0xffffffff;
  if (limit >= reach) return;
  spoil_flags(index);
  Label& cold = new_label();
  cmp(r10d, limit);
  ja(cold);
  cold_call(index, add_site(step(index)), cold);
}

/// R10: where CALL or JMP leads that is not direct.
void Emitter::narrow_branch_operand(std::size_t index) {
  const Step& now = step(index);
  const x86::Operand& operand = now.insn.operands[0];
  const bool word = now.stack_width() == 2;
  if (now.has_memory) {
    const Xbyak::RegExp from = host_address(access(index, 0));
    if (word)
      movzx(r10d, memory(from, 2));
    else
      mov(r10d, memory(from, 4));
  } else if (word) {
    movzx(r10d, host(operand.number).cvt16());
  } else {
    mov(r10d, host(operand.number).cvt32());
  }
}

/// R10 is EIP: it becomes what branches are found by.
void Emitter::narrow_branch_indirect(std::size_t index) {
  const auto base = static_cast<std::int32_t>(translation_->mode.narrow.code_base);
  if (base != 0) lea(r10d, ptr[r10 + disp(base)]);
  branch_indirect(index);
}

void Emitter::narrow_call_or_jump(std::size_t index) {
  const Step& now = step(index);
  const bool call = now.kind == Kind::kCall;
  if (is_direct(now)) {
    if (call) narrow_push_return_address(index);
    return branch_direct(index);
  }
  narrow_branch_operand(index);
  narrow_check_target(index);
  if (call) {
    store(at::kTarget, r10);
    narrow_push_return_address(index);
    load(r10, at::kTarget);
  }
  narrow_branch_indirect(index);
}

void Emitter::narrow_return(std::size_t index) {
  const Step& now = step(index);
  const std::int32_t width = now.stack_width();
  const bool immediate = now.insn.operands[0].kind == x86::OperandKind::kImmediate;
  const auto released =
      immediate ? static_cast<std::int32_t>(now.insn.immediate & 0xffff) : std::int32_t{0};
  if (!now.on_stack) narrow_stack_slot(index, 0, false);
  const Xbyak::RegExp from = now.on_stack ? Xbyak::RegExp(rsp) : Xbyak::RegExp(r10);
  if (width == 2)
    movzx(r10d, memory(from, 2));
  else
    mov(r10d, memory(from, 4));
  narrow_check_target(index);
  if (now.on_stack && released <= Superblock::kMaxStackSpan) {
    lea(rsp, ptr[rsp + disp(width + released)]);
  } else {
    store(at::kTarget, r10);
    move_stack(width + released);
    load(r10, at::kTarget);
  }
  narrow_branch_indirect(index);
}

}  // namespace vireo::engine::translator
