#include "engine/translator/displaced.h"
#include "engine/translator/emitter.h"
#include "x86/cpu_state.h"

namespace vireo::engine::translator {
namespace {

Xbyak::Reg64 host(unsigned gpr) { return Xbyak::Reg64(static_cast<int>(gpr)); }

}  // namespace

void Emitter::push(std::size_t index) {
  if (narrow()) return narrow_push(index);
  const Step& now = step(index);
  const x86::Operand& operand = now.insn.operands[0];
  const bool immediate = operand.kind == x86::OperandKind::kImmediate;
  if (now.has_memory) return push_memory(index);
  if (now.on_stack) {
    if (immediate) {
      Xbyak::CodeGenerator::push(qword, static_cast<std::uint32_t>(now.insn.immediate));
    } else if (operand.number == x86::kRsp) {
      load_guest(r10, x86::kRsp);
      Xbyak::CodeGenerator::push(r10);
    } else if (displaced(operand.number)) {
      putSeg(gs);
      Xbyak::CodeGenerator::push(qword_at(at::gpr(operand.number)));
    } else {
      Xbyak::CodeGenerator::push(host(operand.number));
    }
    return;
  }
  stack_slot(index, -8, true);
  if (immediate) {
    mov(qword[r10], now.insn.immediate);
  } else if (displaced(operand.number)) {
    load_guest(r11, operand.number);
    mov(ptr[r10], r11);
  } else {
    mov(ptr[r10], host(operand.number));
  }
  lea(rsp, ptr[rsp - 8]);
}

void Emitter::push_memory(std::size_t index) {
  mov(r10, ptr[host_address(access(index, 0))]);
  if (step(index).on_stack) {
    Xbyak::CodeGenerator::push(r10);
    return;
  }
  store(at::kTarget, r10);
  stack_slot(index, -8, true);
  load(r11, at::kTarget);
  mov(ptr[r10], r11);
  lea(rsp, ptr[rsp - 8]);
}

void Emitter::pop(std::size_t index) {
  if (narrow()) return narrow_pop(index);
  const Step& now = step(index);
  const unsigned to = now.insn.operands[0].number;
  if (now.on_stack) {
    if (to == x86::kRsp) {
      Xbyak::CodeGenerator::pop(r10);
      store_guest(to, r10);
    } else if (displaced(to)) {
      putSeg(gs);
      Xbyak::CodeGenerator::pop(qword_at(at::gpr(to)));
    } else {
      Xbyak::CodeGenerator::pop(host(to));
    }
    return;
  }
  stack_slot(index, 0, false);
  if (displaced(to)) {
    mov(r10, ptr[r10]);
    store_guest(to, r10);
  } else {
    mov(host(to), ptr[r10]);
  }
  if (to != x86::kRsp) lea(rsp, ptr[rsp + 8]);
}

/// RSP = RBP; POP RBP.
void Emitter::leave(std::size_t index) {
  if (narrow()) return narrow_leave(index);
  spoil_flags(index);
  const std::uint32_t site = add_site(step(index));
  tables_.sites[site].retry = here();
  mov(r10, rbp);
  check(index, site, 8, false, 1);
  load_from_tlb(step(index));
  mov(r10, ptr[rbp + r11]);
  load(rsp, at::kStackDelta);
  lea(rsp, ptr[rsp + rbp + 8]);
  mov(rbp, r10);
}

/// The address of the next instruction. Spoils the scratch registers, but keeps
/// TranslatorCpu::target.
void Emitter::push_return_address(std::size_t index) {
  const Step& now = step(index);
  const std::uint64_t tag = tag_of(now) + now.insn.length;
  const bool constant = !translation_->relative && fits32(tag);
  if (now.on_stack) {
    if (constant) {
      Xbyak::CodeGenerator::push(qword, static_cast<std::uint32_t>(tag));
    } else {
      rip_to(r10, tag);
      Xbyak::CodeGenerator::push(r10);
    }
    return;
  }
  stack_slot(index, -8, true);
  if (constant) {
    mov(qword[r10], tag);
  } else {
    rip_to(r11, tag);
    mov(ptr[r10], r11);
  }
  lea(rsp, ptr[rsp - 8]);
}

/// Where the entry in the branch table leads; R11 is its number.
void Emitter::jump_by_table(bool flags_saved) {
  const std::size_t table = flags_saved ? at::kBranchCodeSaved : at::kBranchCode;
  putSeg(gs);
  jmp(ptr[r11 * 8 + (table + at::branch_half(translation_->mode.user))]);
}

/// R10 is the target. Keeps the flags.
void Emitter::jump_indirect(bool flags_saved) {
  mov(r11d, 0);
  crc32(r11, r10);
  movzx(r11d, r11w);
  jump_by_table(flags_saved);
}

/// The same for an instruction that may be to blame for its target.
void Emitter::branch_indirect(std::size_t index) {
  const bool saved = hand_over_flags(index);
  putSeg(gs);
  mov(dword_at(at::kBranchSite), add_site(step(index)));
  note(Relocation::Of::kSite);
  jump_indirect(saved);
}

/// CALL and JMP to a known place, whatever they push behind them.
void Emitter::branch_direct(std::size_t index) {
  const Step& now = step(index);
  if (in_page(branch_target(now)) && !now.target_on_two_pages) {
    const bool saved = now.flags_used != 0 && flags_ == Flags::kSaved;
    if (!saved) need_flags(index, true);
    go_to(branch_target(now), now.offset, saved);
  } else {
    go_to_other_page(branch_target(now), hand_over_flags(index));
  }
}

void Emitter::call_or_jump(std::size_t index) {
  if (narrow()) return narrow_call_or_jump(index);
  const Step& now = step(index);
  const bool call = now.kind == Kind::kCall;
  if (is_direct(now)) {
    if (call) push_return_address(index);
    return branch_direct(index);
  }
  const x86::Operand& operand = now.insn.operands[0];
  if (now.has_memory) {
    mov(r10, ptr[host_address(access(index, 0))]);
    if (call) {
      store(at::kTarget, r10);
      push_return_address(index);
    }
  } else if (call) {
    // PUSH may change what RSP or the scratch registers hold, but no operand.
    push_return_address(index);
  }
  if (now.has_memory) {
    if (call) load(r10, at::kTarget);
  } else if (displaced(operand.number)) {
    load_guest(r10, operand.number);
  } else {
    mov(r10, host(operand.number));
  }
  branch_indirect(index);
}

void Emitter::return_near(std::size_t index) {
  if (narrow()) return narrow_return(index);
  const Step& now = step(index);
  const auto released = static_cast<int>(
      now.insn.operands[0].kind == x86::OperandKind::kImmediate ? now.insn.immediate : 0);
  if (now.on_stack) {
    Xbyak::CodeGenerator::pop(r10);
    if (released != 0) lea(rsp, ptr[rsp + disp(released)]);
  } else {
    stack_slot(index, 0, false);
    mov(r10, ptr[r10]);
    lea(rsp, ptr[rsp + disp(8 + released)]);
  }
  branch_indirect(index);
}

std::uint32_t Emitter::add_exit(std::uint64_t tag) {
  const auto number = static_cast<std::uint32_t>(tables_.exits.size());
  Exit& exit = tables_.exits.add();
  exit.from = translation_;
  exit.tag = tag;
  exit.suspended = tlb_ == TlbIndex::kSmapSuspended;
  translation_->exits.push_back(number);
  return number;
}

/// The jump whose displacement stands at `patch` goes to the code of the tag once that is known,
/// and to `stub` until then.
Exit& Emitter::link_exit(std::uint64_t tag, std::uint8_t* patch, Label& stub, bool flags_saved) {
  const std::uint32_t number = add_exit(tag);
  Exit& exit = tables_.exits[number];
  exit.patch = patch;
  exit.flags_saved = flags_saved;
  cold_.add([this, &stub, number, flags_saved] {
    L(stub);
    tables_.exits[number].stub = here();
    exit_to_r11(number);
    jump_to(flags_saved ? glue_.exit_saved : glue_.exit);
  });
  return exit;
}

/// To code of another page, or on two pages: where that is must be looked up, for the mapping may
/// change. Supervisor code that is not relative is in global pages as a rule, and linked.
void Emitter::go_to_other_page(std::int64_t page_offset, bool flags_saved) {
  if (narrow()) return look_up_page(page_offset, flags_saved);
  if (!links_pages()) return go_home(page_offset, flags_saved);
  Label& stub = new_label();
  jmp(stub);
  link_page(page_offset, current() - 4, stub, flags_saved);
}

bool Emitter::links_pages() const {
  return !translation_->mode.user && !translation_->relative && !narrow();
}

void Emitter::look_up_page(std::int64_t page_offset, bool flags_saved) {
  const std::uint64_t tag = tag_at(page_offset);
  rip_to(r10, tag);
  if (translation_->relative) return jump_indirect(flags_saved);
  mov(r11d, static_cast<std::uint32_t>(TranslatorCpu::branch_hash(tag)));
  jump_by_table(flags_saved);
}

Exit& Emitter::link_page(std::int64_t page_offset, std::uint8_t* patch, Label& stub,
                         bool flags_saved) {
  const std::uint32_t number = add_exit(tag_at(page_offset));
  Exit& exit = tables_.exits[number];
  exit.patch = patch;
  exit.backward = true;
  exit.flags_saved = flags_saved;
  cold_.add([this, &stub, number, page_offset, flags_saved] {
    L(stub);
    tables_.exits[number].stub = here();
    exit_to_r11(number);
    jump_to(flags_saved ? glue_.exit_saved : glue_.exit);
    tables_.exits[number].detour = here();
    look_up_page(page_offset, flags_saved);
  });
  return exit;
}

/// Straight to code that was found before, if its page is where it was then. Touches no flags.
void Emitter::go_home(std::int64_t page_offset, bool flags_saved) {
  Label &stub = new_label(), &at_home = new_label();
  const auto patch = [this] { return current() - 4; };
  const std::uint64_t page = tag_at(page_offset) & ~kPageMask;
  load(r11, at::page_home(translation_->mode.user, TranslatorCpu::kNobodysHome));
  std::uint8_t* const home = patch();
  mov(r10, rcx);
  if (translation_->relative) {
    load(rcx, at::kCodeBase);
    lea(rcx, ptr[rcx + r11 + page]);
  } else {
    lea(rcx, ptr[r11 + page]);
  }
  jrcxz(at_home);
  mov(rcx, r10);
  jmp(stub);
  std::uint8_t* const elsewhere = patch();
  L(at_home);
  mov(rcx, r10);
  jmp(stub);
  std::uint8_t* const there = patch();
  Exit& exit = link_page(page_offset, elsewhere, stub, flags_saved);
  exit.at_home = there;
  exit.home = home;
}

/// The flags are the host's, unless they are saved.
void Emitter::go_to(std::int64_t page_offset, std::uint16_t from, bool flags_saved) {
  Label& stub = new_label();
  jmp(stub);
  Exit& exit = link_exit(tag_at(page_offset), current() - 4, stub, flags_saved);
  exit.backward = page_offset <= from;
}

void Emitter::fall_through() {
  const std::size_t last = block_->steps.size() - 1;
  settle_pointers();
  if (!in_page(block_->next) || block_->next_on_two_pages) {
    return go_to_other_page(block_->next, hand_over_flags(last + 1));
  }
  if (flags_ == Flags::kRecipe) emit_recipe(producer_, true);
  go_to(block_->next, step(last).offset, flags_ == Flags::kSaved);
}

void Emitter::branch(std::size_t index) {
  const Step& now = step(index);
  if (now.insn.opcode_map == 0 && now.insn.opcode >= 0xe0) return narrow_loop(index);
  need_flags(index, true);
  const bool held = holds();
  Label& stub = new_label();
  // 0f 8x rel32 for 7x rel8 and 0f 8x rel32 alike.
  const unsigned condition = (now.insn.opcode & 15u) ^ now.taken_inside;
  jcc(condition, stub);
  still_held(held);
  const std::int64_t target = exit_target(now);
  if (in_page(target) && !now.target_on_two_pages) {
    Exit& exit = link_exit(tag_at(target), current() - 4, stub);
    exit.backward = target <= now.offset;
    return;
  }
  if (links_pages()) {
    link_page(target, current() - 4, stub, false);
    return;
  }
  cold_.add([this, &stub, target] {
    L(stub);
    go_to_other_page(target, false);
  });
}

}  // namespace vireo::engine::translator
