#include "engine/translator/emitter.h"

// How control comes into a translation: from linked code, by the branch table, and past the poll.

namespace vireo::engine::translator {

void Emitter::emit_poll(bool flags_in_host, Label& leave) {
  putSeg(gs);
  if (!flags_in_host) {
    cmp(dword_at(at::kEvents), 0);
    jne(leave);
    return;
  }
  Label& none = new_label();
  mov(r11, rcx);
  putSeg(gs);
  mov(ecx, dword_at(at::kEvents));
  jrcxz(none);
  mov(rcx, r11);
  jmp(leave);
  L(none);
  mov(rcx, r11);
}

/// The register is 0 if R10 is this translation's address, for its page is where R10 says.
void Emitter::compare_home(const Xbyak::Reg64& result) {
  load(result, at::page_home(translation_->mode.user, translation_->home));
  note(Relocation::Of::kHome);
  lea(result, ptr[result + r10 - static_cast<std::uint32_t>(translation_->tag & kPageMask)]);
}

/// From its address in R10.
void Emitter::set_code_base() {
  lea(r11, ptr[r10 - static_cast<std::uint32_t>(translation_->tag)]);
  store(at::kCodeBase, r11);
}

/// Whether R10 is this translation's address, without touching the flags. Spoils R11.
void Emitter::compare_keeping_flags(Label& other) {
  Label& same = new_label();
  const auto tag = static_cast<std::int64_t>(translation_->tag);
  mov(r11, rcx);
  if (translation_->asks_home)
    compare_home(rcx);
  else if (narrow())
    lea(ecx, ptr[r10 + disp(static_cast<std::int32_t>(-tag))]);
  else
    lea(rcx, ptr[r10 + disp(-tag)]);
  jrcxz(same);
  mov(rcx, r11);
  jmp(other);
  L(same);
  mov(rcx, r11);
}

/// Where indirect branches come in; each leads to a polling entry. What stands in this place of the
/// table may be another address's.
void Emitter::emit_indirect_heads(Label& saved, Label& leave_saved) {
  Label &other = new_label(), &other_saved = new_label();
  const std::uint64_t tag = translation_->tag;
  translation_->entry_indirect_saved = here();
  if (translation_->asks_home) {
    compare_home(r11);
    test(r11, r11);
  } else if (narrow()) {
    cmp(r10d, static_cast<std::uint32_t>(tag));
  } else {
    cmp(r10, static_cast<std::uint32_t>(tag));
  }
  jne(other_saved);
  if (translation_->relative) set_code_base();
  translation_->entry_polling_saved = here();
  emit_poll(false, leave_saved);
  jmp(saved);
  translation_->entry_indirect = here();
  compare_keeping_flags(other);
  if (translation_->relative) set_code_base();
  cold_.add([this, &other, &other_saved] {
    L(other);
    jump_to(glue_.indirect);
    L(other_saved);
    jump_to(glue_.indirect_saved);
  });
}

void Emitter::emit_heads(const Superblock& block) {
  Label &leave = new_label(), &saved = new_label(), &leave_saved = new_label();
  const bool live = block.flags_live_at_entry || exact_flags_;
  translation_->flags_live = live;
  const unsigned kind = narrow() ? 0 : translation_->relative ? 1 : translation_->asks_home ? 2 : 3;
  std::size_t& head = head_bytes_[live + 2u * kind];
  // So that no padding stands in the way of who comes in by a head.
  constexpr std::size_t kAlignment = 32;
  const auto place = reinterpret_cast<std::uintptr_t>(current());
  nop((kAlignment - (place + head) % kAlignment) % kAlignment);
  translation_->begin = here();
  const std::size_t begin = getSize();
  emit_indirect_heads(saved, leave_saved);
  translation_->entry_polling = here();
  emit_poll(live, leave);
  head = getSize() - begin;
  align(kAlignment);
  translation_->entry = here();
  const std::uint32_t self = add_exit(translation_->tag);
  cold_.add([this, &leave, &leave_saved, self] {
    L(leave);
    exit_to_r11(self);
    jump_to(glue_.exit);
    L(leave_saved);
    exit_to_r11(self);
    jump_to(glue_.exit_saved);
  });
  if (block.stack_low != block.stack_high)
    emit_stack_check(saved);
  else
    emit_saved_entry(saved);
}

/// Where control comes in whose flags are in Cpu::flags, if the code at the entry wants the host's.
void Emitter::emit_saved_entry(Label& saved) {
  if (!translation_->flags_live) {
    L(saved);
    translation_->entry_saved = here();
    return;
  }
  Label& entry = new_label();
  L(entry);
  cold_.add([this, &saved, &entry] {
    L(saved);
    translation_->entry_saved = here();
    emit_restore(true);
    jmp(entry);
  });
}

/// The span that the block uses of the stack is within the window. A span on two pages is for code
/// that does without; otherwise C++ moves the window, or names such code.
void Emitter::emit_stack_check(Label& saved) {
  if (translation_->flags_live)
    emit_save();
  else
    flags_ = Flags::kDead;
  Label &cold = new_label(), &again = new_label();
  const int span = block_->stack_high - block_->stack_low;
  L(saved);
  translation_->entry_saved = here();
  L(again);
  lea(r10, ptr[rsp + disp(block_->stack_low)]);
  putSeg(gs);
  sub(r10, qword_at(at::kWindow));
  cmp(r10, static_cast<std::uint32_t>(static_cast<int>(TranslatorCpu::kWindowSize) - span));
  ja(cold);
  const auto number = static_cast<std::uint32_t>(tables_.sites.size());
  Site& site = tables_.sites.add();
  site.from = translation_;
  site.tag = translation_->tag;
  site.stack_low = block_->stack_low;
  site.stack_high = block_->stack_high;
  site.resume = translation_->entry;
  cold_.add([this, &cold, &again, number, span] {
    L(cold);
    Label &on_two_pages = new_label(), &stub = new_label();
    mov(r11d, r10d);
    and_(r11d, static_cast<std::uint32_t>(kPageMask));
    cmp(r11d, static_cast<std::uint32_t>(static_cast<int>(kPageSize) - span));
    ja(on_two_pages);
    if (!narrow()) {
      lea(r11, again);
      store(at::kResume, r11);
    }
    site_to_r11(number);
    jump_to(narrow() ? glue_.window : glue_.window_64[translation_->mode.user]);
    L(on_two_pages);
    if (translation_->flags_live) emit_restore(true);
    jmp(stub);
    Exit& exit = link_exit(translation_->tag, current() - 4, stub);
    exit.careful = true;
    exit.suspended = translation_->mode.suspended;
  });
}

}  // namespace vireo::engine::translator
