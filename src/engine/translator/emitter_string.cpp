#include "engine/translator/emitter.h"
#include "engine/translator/system_offsets.h"
#include "x86/cpu_state.h"

// STOS and MOVS, repeated or not: upward, and in one page, they are the host's own.

namespace vireo::engine::translator {

/// All of the elements that begin at the address register: R11 is the distance to them in the
/// host's memory.
void Emitter::check_run(std::size_t index, const Xbyak::Reg64& address, bool write, Label& cold) {
  const Step& now = step(index);
  const unsigned width = now.insn.operand_width;
  const std::uint32_t site = add_site(now);
  tables_.sites[site].retry = here();
  if (narrow())
    mov(r10d, address.cvt32());
  else
    mov(r10, address);
  check(index, site, now.insn.rep ? 1 : width, write, 1);
  if (now.insn.rep) {
    // No more than a page, by what is looked at of RCX.
    const Xbyak::Reg end = narrow() ? Xbyak::Reg(r10d) : Xbyak::Reg(r10);
    lea(end, ptr[r10 + rcx * static_cast<int>(width)]);
    cmp(end, static_cast<std::uint32_t>(kPageSize));
    ja(cold);
  }
  load_from_tlb(now);
}

/// What an instruction with 32-bit addresses leaves of its registers.
void Emitter::narrow_string_registers(const x86::Insn& insn) {
  if (!is_fill(insn)) mov(esi, esi);
  mov(edi, edi);
  if (insn.rep) mov(ecx, ecx);
}

/// The same instruction with the host's addresses.
void Emitter::narrow_string_instruction(const x86::Insn& insn) {
  if (insn.operand_width == 2) db(0x66);
  if (insn.rep) db(0xf3);
  db(insn.opcode);
}

void Emitter::string(std::size_t index) {
  const x86::Insn& insn = step(index).insn;
  const bool store_only = is_fill(insn);
  const unsigned width = insn.operand_width;
  spoil_flags(index);
  Label &cold = new_label(), &done = new_label();
  leave_if_set(at::kRflags, x86::rflags::kDf, cold);
  if (insn.rep) {
    const Xbyak::Reg count = narrow() ? Xbyak::Reg(ecx) : Xbyak::Reg(rcx);
    test(count, count);
    jz(done);  // not even a page is looked up
    cmp(count, static_cast<std::uint32_t>(kPageSize / width));
    ja(cold);
  }
  if (!store_only) {
    check_run(index, rsi, false, cold);
    store(at::kTarget, r11);
  }
  check_run(index, rdi, true, cold);
  if (narrow()) narrow_string_registers(insn);
  if (!store_only) {
    load(r10, at::kTarget);
    lea(rsi, ptr[rsi + r10]);
  }
  lea(rdi, ptr[rdi + r11]);
  if (narrow())
    narrow_string_instruction(insn);
  else
    append(insn.bytes.data(), insn.length);
  sub(rdi, r11);
  if (!store_only) sub(rsi, r10);
  L(done);
  if (narrow()) narrow_string_registers(insn);
  cold_call(index, add_site(step(index)), cold);
}

}  // namespace vireo::engine::translator
