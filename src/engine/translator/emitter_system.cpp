#include "engine/translator/displaced.h"
#include "engine/translator/emitter.h"
#include "engine/translator/system_offsets.h"
#include "x86/cpu_state.h"

// System instructions that the guest's kernel executes all the time. What is not the common case
// goes to C++ before anything has changed.

namespace vireo::engine::translator {
namespace {

namespace rflags = x86::rflags;

Xbyak::Reg64 host(unsigned gpr) { return Xbyak::Reg64(static_cast<int>(gpr)); }

constexpr std::uint32_t low(std::uint64_t bits) { return static_cast<std::uint32_t>(bits); }

/// The arithmetic flags in the form of RFLAGS from that of x86::HostFlags, by a multiplication that
/// brings OF to its place above the others.
constexpr std::uint32_t kSpreadOf = 1u << 19 | 1;

bool is_read_of_control(const x86::Insn& insn) {
  return insn.operands[1].kind == x86::OperandKind::kControl;
}

std::size_t base_of(const x86::Insn& insn) {
  const bool fs =
      insn.mnemonic == ZYDIS_MNEMONIC_RDFSBASE || insn.mnemonic == ZYDIS_MNEMONIC_WRFSBASE;
  return at::segment_base(fs ? x86::kFs : x86::kGs);
}

}  // namespace

void Emitter::system(std::size_t index) {
  const x86::Insn& insn = step(index).insn;
  const bool user = translation_->mode.user;
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_PUSHFQ:
      return push_flags(index);
    case ZYDIS_MNEMONIC_POPFQ:
      return pop_flags(index);
    case ZYDIS_MNEMONIC_CLD:
    case ZYDIS_MNEMONIC_STD:
      return change_flag(index, rflags::kDf, insn.mnemonic == ZYDIS_MNEMONIC_STD);
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
      return read_time_stamp(index);
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
      return segment_base(index);
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
      return bit_string(index);
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_WRPKRU:
      return protection_keys(index);
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVSQ:
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
      return string(index);
    case ZYDIS_MNEMONIC_MOV:
      if (user && is_read_of_control(insn)) return interpret(index);
      return read_system_register(index);
    default:
      return user ? interpret(index) : system_of_kernel(index);
  }
}

/// Where SYSCALL and SYSRET are executed, with the next instruction's address in R10; null for any
/// other instruction.
const std::uint8_t* Emitter::system_call(std::size_t index, bool flags_in_host) {
  const Step& now = step(index);
  const bool user = translation_->mode.user;
  if (narrow()) return nullptr;
  if (user && now.insn.mnemonic == ZYDIS_MNEMONIC_SYSCALL) {
    rip_to(r10, tag_of(now) + now.insn.length);
    return flags_in_host ? glue_.syscall : glue_.syscall_saved;
  }
  if (!user && now.insn.mnemonic == ZYDIS_MNEMONIC_SYSRET && now.insn.operand_width == 8)
    return flags_in_host ? glue_.sysret : glue_.sysret_saved;
  return nullptr;
}

/// At privilege level 0.
void Emitter::system_of_kernel(std::size_t index) {
  switch (step(index).insn.mnemonic) {
    case ZYDIS_MNEMONIC_CLI:
      return change_flag(index, rflags::kIf, false);
    case ZYDIS_MNEMONIC_STI:
      return enable_interrupts(index);
    case ZYDIS_MNEMONIC_CLAC:
    case ZYDIS_MNEMONIC_STAC:
      return suspend_smap(index);
    case ZYDIS_MNEMONIC_SWAPGS:
      load(r10, at::segment_base(x86::kGs));
      load(r11, at::kKernelGsBase);
      store(at::kKernelGsBase, r10);
      store(at::segment_base(x86::kGs), r11);
      return;
    default:
      return interpret(index);
  }
}

/// Whether one of the bits of a field is set: to C++.
void Emitter::leave_if_set(std::size_t field, std::uint64_t bits, Label& cold) {
  putSeg(gs);
  test(dword_at(field), low(bits));
  jnz(cold);
}
void Emitter::leave_unless_set(std::size_t field, std::uint64_t bits, Label& cold) {
  putSeg(gs);
  test(dword_at(field), low(bits));
  jz(cold);
}
/// C++ sees to an interrupt that may wait.
void Emitter::leave_if_interrupt_waits(Label& cold) {
  putSeg(gs);
  cmp(byte_at(at::kInterruptHint), 0);
  jne(cold);
}

void Emitter::push_flags(std::size_t index) {
  if (flags_ == Flags::kRecipe) {
    emit_recipe(producer_, true);
    flags_ = Flags::kHost;
  }
  if (flags_ == Flags::kHost) emit_save();
  const bool on_stack = step(index).on_stack;
  if (!on_stack) stack_slot(index, -8, true);
  putSeg(gs);
  movzx(r11d, word_at(at::kFlags));
  imul(r11d, r11d, kSpreadOf);
  shr(r11d, 8);
  and_(r11d, low(rflags::kArithmetic));
  // What RFLAGS has of these is stale. RF and VM are never set here.
  putSeg(gs);
  and_(qword_at(at::kRflags), low(~rflags::kArithmetic));
  putSeg(gs);
  or_(r11, qword_at(at::kRflags));
  if (on_stack) {
    Xbyak::CodeGenerator::push(r11);
    return;
  }
  mov(ptr[r10], r11);
  lea(rsp, ptr[rsp - 8]);
}

/// Arithmetic flags, and IF at level 0, where nothing else changes.
void Emitter::pop_flags(std::size_t index) {
  const bool user = translation_->mode.user;
  constexpr std::uint64_t kStay =
      rflags::kTf | rflags::kDf | rflags::kIopl | rflags::kNt | rflags::kAc | rflags::kId;
  spoil_flags(index);
  Label& cold = new_label();
  if (step(index).on_stack) {
    mov(r10, ptr[rsp]);
  } else {
    stack_slot(index, 0, false);
    mov(r10, ptr[r10]);
  }
  mov(r11, r10);
  putSeg(gs);
  xor_(r11, qword_at(at::kRflags));
  test(r11d, low(kStay | (user ? rflags::kIf : 0)));
  jnz(cold);
  if (!user) {
    Label& disabled = new_label();
    test(r10d, low(rflags::kIf));
    jz(disabled);
    leave_if_interrupt_waits(cold);
    L(disabled);
    and_(r11d, low(rflags::kIf));
    putSeg(gs);
    xor_(dword_at(at::kRflags), r11d);
  }
  movzx(r11d, r10b);
  shl(r11d, 8);
  shr(r10d, 11);
  and_(r10d, 1);
  or_(r11d, r10d);
  putSeg(gs);
  mov(word_at(at::kFlags), r11w);
  lea(rsp, ptr[rsp + 8]);
  cold_call(index, add_site(step(index)), cold);
  // In C++ EFLAGS.AC may have changed; without it more accesses miss, and that is all.
  if (!user) tlb_ = TlbIndex::kSupervisor;
}

void Emitter::change_flag(std::size_t index, std::uint64_t flag, bool value) {
  spoil_flags(index);
  putSeg(gs);
  if (value)
    or_(dword_at(at::kRflags), low(flag));
  else
    and_(dword_at(at::kRflags), low(~flag));
}

/// Interrupts wait for one more instruction, which follows, and nobody looks for them before.
void Emitter::enable_interrupts(std::size_t index) {
  if (!finishes_here(index + 1)) return interpret(index);
  spoil_flags(index);
  Label& cold = new_label();
  leave_if_interrupt_waits(cold);
  putSeg(gs);
  or_(dword_at(at::kRflags), low(rflags::kIf));
  const std::uint32_t site = add_site(step(index));
  tables_.sites[site].more_follows = true;
  cold_call(index, site, cold);
}

/// STAC and CLAC, as SoftMmu::refresh_mode() would see them.
void Emitter::suspend_smap(std::size_t index) {
  const bool suspend = step(index).insn.mnemonic == ZYDIS_MNEMONIC_STAC;
  const TlbIndex next = suspend ? TlbIndex::kSmapSuspended : TlbIndex::kSupervisor;
  spoil_flags(index);
  Label& cold = new_label();
  leave_unless_set(at::kCr4, x86::cr4::kSmap, cold);
  putSeg(gs);
  if (suspend)
    or_(dword_at(at::kRflags), low(rflags::kAc));
  else
    and_(dword_at(at::kRflags), low(~rflags::kAc));
  putSeg(gs);
  mov(byte_at(at::kCurrentTlb), static_cast<std::uint32_t>(next));
  load(r10, at::kSelf);
  lea(r10, ptr[r10 + at::kOrigin + at::tlb(next, 0)]);
  store(at::kTlbPointer, r10);
  cold_call(index, add_site(step(index)), cold);
  tlb_ = next;
}

void Emitter::read_time_stamp(std::size_t index) {
  spoil_flags(index);
  Label& cold = new_label();
  putSeg(gs);
  cmp(byte_at(at::kTscDirect), 0);
  je(cold);
  if (translation_->mode.user) leave_if_set(at::kCr4, x86::cr4::kTsd, cold);
  rdtsc();
  shl(rdx, 32);
  or_(rax, rdx);
  putSeg(gs);
  add(rax, qword_at(at::kTscBias));
  putSeg(gs);
  add(rax, qword_at(at::kTscOffset));
  mov(rdx, rax);
  shr(rdx, 32);
  mov(eax, eax);
  if (step(index).insn.mnemonic == ZYDIS_MNEMONIC_RDTSCP) {
    putSeg(gs);
    mov(ecx, dword_at(at::kTscAux));
  }
  cold_call(index, add_site(step(index)), cold);
}

/// RDPKRU, and WRPKRU of what is there.
void Emitter::protection_keys(std::size_t index) {
  spoil_flags(index);
  Label& cold = new_label();
  leave_unless_set(at::kCr4, x86::cr4::kPke, cold);
  test(ecx, ecx);
  jnz(cold);
  if (step(index).insn.mnemonic == ZYDIS_MNEMONIC_RDPKRU) {
    putSeg(gs);
    mov(eax, dword_at(at::kPkru));
    xor_(edx, edx);
  } else {
    test(edx, edx);
    jnz(cold);
    putSeg(gs);
    cmp(eax, dword_at(at::kPkru));
    jne(cold);
  }
  cold_call(index, add_site(step(index)), cold);
}

/// RDFSBASE, WRFSBASE and those of GS. What is canonical in 48 bits is so in 57.
void Emitter::segment_base(std::size_t index) {
  const x86::Insn& insn = step(index).insn;
  const x86::Operand& operand = insn.operands[0];
  const bool write =
      insn.mnemonic == ZYDIS_MNEMONIC_WRFSBASE || insn.mnemonic == ZYDIS_MNEMONIC_WRGSBASE;
  spoil_flags(index);
  Label& cold = new_label();
  leave_unless_set(at::kCr4, x86::cr4::kFsgsbase, cold);
  if (write) {
    if (displaced(operand.number))
      load_guest(r10, operand.number);
    else
      mov(r10, host(operand.number));
    if (operand.width == 4) mov(r10d, r10d);
    mov(r11, r10);
    sar(r11, 47);
    add(r11, 1);
    cmp(r11, 1);
    ja(cold);
    store(base_of(insn), r10);
  } else {
    const Xbyak::Reg64 to = displaced(operand.number) ? r10 : host(operand.number);
    load(to, base_of(insn));
    if (operand.width == 4) mov(to.cvt32(), to.cvt32());
    if (displaced(operand.number)) store_guest(operand.number, r10);
  }
  cold_call(index, add_site(step(index)), cold);
}

void Emitter::read_system_register(std::size_t index) {
  const x86::Insn& insn = step(index).insn;
  const x86::Operand &to = insn.operands[0], &from = insn.operands[1];
  if (from.kind == x86::OperandKind::kControl) {
    const std::size_t fields[] = {at::kCr0, 0, at::kCr2, at::kCr3, at::kCr4};
    load(r10, fields[from.number]);
  } else {
    putSeg(gs);
    movzx(r10d, word_at(at::segment(from.number)));
  }
  const bool part = from.kind == x86::OperandKind::kSegment && to.width == 2;
  if (displaced(to.number)) {
    putSeg(gs);
    if (part)
      mov(word_at(at::gpr(to.number)), r10w);
    else
      mov(qword_at(at::gpr(to.number)), r10);
  } else if (part) {
    mov(host(to.number).cvt16(), r10w);
  } else {
    mov(host(to.number), r10);
  }
}

/// BT, BTS, BTR and BTC of a bit anywhere in memory: the operand that holds it is as far from the
/// address as the number says.
void Emitter::bit_string(std::size_t index) {
  const Step& now = step(index);
  const x86::Operand& bit = now.insn.operands[1];
  const auto width = static_cast<std::int32_t>(now.memory_size);
  const auto number_to_r11 = [&] {
    if (displaced(bit.number))
      load_guest(r11, bit.number);
    else
      mov(r11, host(bit.number));
  };
  spoil_flags(index);
  const std::uint32_t site = add_site(now);
  tables_.sites[site].retry = here();
  effective_address(now);
  number_to_r11();
  if (width == 2) movsx(r11, r11w);
  if (width == 4) movsxd(r11, r11d);
  sar(r11, 3);
  and_(r11, imm(-width));
  add(r10, r11);
  check(index, site, now.memory_size, now.memory_written, now.alignment);
  to_host_address(now, now.memory_written);
  number_to_r11();
  and_(r11d, imm(8 * width - 1));
  need_flags(index);
  if (now.insn.lock) lock();
  const Xbyak::Reg offset = width == 8   ? Xbyak::Reg(r11)
                            : width == 4 ? Xbyak::Reg(r11d)
                                         : Xbyak::Reg(r11w);
  const Xbyak::Address operand(static_cast<std::uint32_t>(8 * width), false, Xbyak::RegExp(r10));
  switch (now.insn.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
      return bt(operand, offset);
    case ZYDIS_MNEMONIC_BTS:
      return bts(operand, offset);
    case ZYDIS_MNEMONIC_BTR:
      return btr(operand, offset);
    default:
      return btc(operand, offset);
  }
}

}  // namespace vireo::engine::translator
