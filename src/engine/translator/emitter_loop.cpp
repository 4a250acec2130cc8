#include "engine/translator/emitter.h"

namespace vireo::engine::translator {

/// LOOP and JCXZ in code that is not 64-bit. Spoils the scratch registers, keeps the flags.
void Emitter::narrow_loop(std::size_t index) {
  const Step& now = step(index);
  const bool counts = now.insn.mnemonic == ZYDIS_MNEMONIC_LOOP;
  const bool word = now.insn.address_width == 2;
  need_flags(index, true);
  Label &stub = new_label(), &zero = new_label(), &on = new_label();
  if (counts && word) {
    lea(r10d, ptr[rcx - 1]);
    mov(cx, r10w);
  } else if (counts) {
    lea(ecx, ptr[rcx - 1]);
  }
  if (word) {
    mov(r11, rcx);
    movzx(ecx, cx);
  }
  jecxz(zero);
  if (word) mov(rcx, r11);
  jmp(counts ? stub : on);
  const std::uint8_t* patch = getCurr() - 4;
  L(zero);
  if (word) mov(rcx, r11);
  if (!counts) {
    jmp(stub);
    patch = getCurr() - 4;
  }
  L(on);
  const std::int64_t target = branch_target(now);
  if (in_page(target) && !now.target_on_two_pages) {
    Exit& exit = link_exit(tag_at(target), const_cast<std::uint8_t*>(patch), stub);
    exit.backward = target <= now.offset;
    return;
  }
  cold_.add([this, &stub, target] {
    L(stub);
    look_up_page(target, false);
  });
}

}  // namespace vireo::engine::translator
