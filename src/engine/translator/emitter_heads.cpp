#include "engine/translator/emitter.h"

// How control comes into a translation: from linked code, by the branch table, and past the poll.

namespace vireo::engine::translator {

void Emitter::emit_poll(bool flags_live, Xbyak::Label& leave) {
  putSeg(gs);
  if (!flags_live) {
    cmp(dword_at(at::kEvents), 0);
    jne(leave, T_NEAR);
    return;
  }
  Xbyak::Label& none = new_label();
  mov(r11, rcx);
  putSeg(gs);
  mov(ecx, dword_at(at::kEvents));
  jrcxz(none);
  mov(rcx, r11);
  jmp(leave, T_NEAR);
  L(none);
  mov(rcx, r11);
}

/// Whether R10 is this translation's address if the code base is what it was where control comes
/// from, which is in the same mapping as a rule. Otherwise the branch table knows the base: `again`
/// is where R11, spoilt everywhere, is compared. With `keep_flags` the flags are as they were.
void Emitter::compare_relative(bool keep_flags, Xbyak::Label& other) {
  Xbyak::Label &from_elsewhere = new_label(), &same = new_label();
  const auto compare = [this, keep_flags](Xbyak::Label& different) {
    const auto tag = static_cast<std::int64_t>(translation_->tag);
    if (!keep_flags) {
      lea(r11, ptr[r11 + disp(tag)]);
      cmp(r10, r11);
      return jne(different, T_NEAR);
    }
    not_(r11);  // -base - 1
    lea(r11, ptr[r11 + r10 + disp(1 - tag)]);
    xchg(rcx, r11);
    Xbyak::Label& equal = new_label();
    jrcxz(equal);
    mov(rcx, r11);
    jmp(different, T_NEAR);
    L(equal);
    mov(rcx, r11);
  };
  load(r11, at::kCodeBase);
  compare(from_elsewhere);
  L(same);
  cold_.push_back([this, compare, &from_elsewhere, &same, &other] {
    L(from_elsewhere);
    table_base_of_target();
    compare(other);
    table_base_of_target();
    store(at::kCodeBase, r11);
    jmp(same, T_NEAR);
  });
}

/// R11: the base of the code that the branch table has for the address in R10. Keeps the flags.
void Emitter::table_base_of_target() {
  hash_target();
  putSeg(gs);
  mov(r11, ptr[r11 * 8 + (at::kBranchBase + at::branch_half(translation_->mode.user))]);
}

/// Whether R10 is this translation's address, without touching the flags. Spoils R11.
void Emitter::compare_keeping_flags(Xbyak::Label& other) {
  if (translation_->relative) return compare_relative(true, other);
  Xbyak::Label& same = new_label();
  const auto tag = static_cast<std::int64_t>(translation_->tag);
  mov(r11, rcx);
  if (narrow())
    lea(ecx, ptr[r10 + disp(static_cast<std::int32_t>(-tag))]);
  else
    lea(rcx, ptr[r10 + disp(-tag)]);
  jrcxz(same);
  mov(rcx, r11);
  jmp(other, T_NEAR);
  L(same);
  mov(rcx, r11);
}

/// Where indirect branches come in; each leads to the polling entry.
void Emitter::emit_indirect_heads(bool flags_live) {
  Xbyak::Label &other = new_label(), &other_saved = new_label(), &polling = new_label();
  const auto tag = static_cast<std::uint32_t>(translation_->tag);
  translation_->entry_indirect_saved = here();
  if (translation_->relative) {
    compare_relative(false, other_saved);
  } else {
    narrow() ? cmp(r10d, tag) : cmp(r10, tag);
    jne(other_saved, T_NEAR);
  }
  if (flags_live) emit_restore(true);
  jmp(polling, T_SHORT);
  translation_->entry_indirect = here();
  compare_keeping_flags(other);
  L(polling);
  cold_.push_back([this, &other, &other_saved] {
    L(other);
    jump_to(glue_.indirect);
    L(other_saved);
    jump_to(glue_.indirect_saved);
  });
}

void Emitter::emit_heads(const Superblock& block) {
  Xbyak::Label& leave = new_label();
  const bool live = block.flags_live_at_entry || exact_flags_;
  translation_->begin = here();
  translation_->flags_live = live;
  emit_indirect_heads(live);
  translation_->entry_polling = here();
  emit_poll(live, leave);
  align(32);
  translation_->entry = here();
  const std::uint32_t self = add_exit(translation_->tag);
  cold_.push_back([this, &leave, self] {
    L(leave);
    mov(r11d, self);
    jump_to(glue_.exit);
  });
  if (block.stack_low != block.stack_high) emit_stack_check();
}

/// The span that the block uses of the stack is within the window. A span on two pages is for code
/// that does without; otherwise C++ moves the window, or names such code.
void Emitter::emit_stack_check() {
  if (exact_flags_)
    emit_save();
  else
    flags_ = Flags::kDead;
  Xbyak::Label &cold = new_label(), &again = new_label();
  const int span = block_->stack_high - block_->stack_low;
  L(again);
  lea(r10, ptr[rsp + disp(block_->stack_low)]);
  putSeg(gs);
  sub(r10, qword_at(at::kWindow));
  cmp(r10, static_cast<std::uint32_t>(static_cast<int>(TranslatorCpu::kWindowSize) - span));
  ja(cold, T_NEAR);
  Site site;
  site.from = translation_;
  site.tag = translation_->tag;
  site.stack_low = block_->stack_low;
  site.stack_high = block_->stack_high;
  site.resume = translation_->entry;
  tables_.sites.push_back(site);
  const auto number = static_cast<std::uint32_t>(tables_.sites.size() - 1);
  cold_.push_back([this, &cold, &again, number, span] {
    L(cold);
    Xbyak::Label &on_two_pages = new_label(), &stub = new_label();
    mov(r11d, r10d);
    and_(r11d, static_cast<std::uint32_t>(kPageMask));
    cmp(r11d, static_cast<std::uint32_t>(static_cast<int>(kPageSize) - span));
    ja(on_two_pages);
    if (!narrow()) {
      lea(r11, ptr[rip + again]);
      store(at::kResume, r11);
    }
    mov(r11d, number);
    jump_to(narrow() ? glue_.window : glue_.window_64[translation_->mode.user]);
    L(on_two_pages);
    if (exact_flags_) emit_restore(true);
    jmp(stub, T_NEAR);
    Exit& exit = link_exit(translation_->tag, const_cast<std::uint8_t*>(getCurr()) - 4, stub);
    exit.careful = true;
    exit.suspended = translation_->mode.suspended;
  });
}

}  // namespace vireo::engine::translator
