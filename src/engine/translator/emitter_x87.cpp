#include "engine/translator/emitter.h"
#include "x86/cpu_state.h"
#include "x86/semantics/fpu_state.h"

namespace vireo::engine::translator {
namespace {

bool writes_address(const Step& writer, const Step& operand) {
  const x86::MemoryOperand& memory = operand.insn.memory;
  const auto written = [&writer](unsigned gpr) {
    return gpr < 16 && (writer.insn.effects.gpr_written >> gpr & 1) != 0;
  };
  return written(memory.base) || written(memory.index);
}

}  // namespace

/// Only in a mode in which no exception is unmasked, none is pending and CR0 lets the unit be used.
/// What could change that is left to C++, which then goes on in code of the other mode.
void Emitter::x87(std::size_t index) {
  const Step& now = step(index);
  ensure_x87(index);
  if (now.with_vectors) ensure_vectors(index);
  if (now.insn.mnemonic == ZYDIS_MNEMONIC_FLDCW) return load_control(index);
  copy(index);
  if (!now.notes_pointers) return;
  pointers_.instruction = index;
  if (now.has_memory) pointers_.operand = index;
}

void Emitter::ensure_x87(std::size_t index) {
  if (x87_known_) return;
  x87_known_ = true;
  spoil_flags(index);
  Label& cold = new_label();
  putSeg(gs);
  cmp(byte_at(at::kX87Loaded), 0);
  je(cold);
  const auto number = static_cast<std::uint32_t>(tables_.sites.size());
  Site& site = tables_.sites.add();
  site.from = translation_;
  site.tag = tag_of(step(index));
  site.load_x87 = true;
  site.resume = here();
  cold_.add([this, &cold, number] {
    L(cold);
    site_to_r11(number);
    jump_to(glue_.call_saved);
  });
}

/// FLDCW from a copy of the operand, which other CPUs cannot change behind the test: a word that
/// unmasks an exception is for C++.
void Emitter::load_control(std::size_t index) {
  spoil_flags(index);
  const HostMemory memory = access(index, 1);
  const bool uses_r11 = memory.base == x86::kR11 || memory.index == x86::kR11;
  const Xbyak::Reg64& word = uses_r11 ? r10 : r11;
  Label& cold = new_label();
  movzx(word.cvt32(), Xbyak::util::word[host_address(memory)]);
  putSeg(gs);
  mov(word_at(at::kScratch), word.cvt16());
  not_(word.cvt32());
  test(word.cvt8(), x86::fp_exception::kAll);
  jnz(cold);
  cold_call(index, add_site(step(index)), cold);
  putSeg(gs);
  fldcw(word_at(at::kScratch));
}

/// Spoils the scratch registers, keeps the flags.
void Emitter::write_pointers(const X87Pointers& pointers) {
  if (pointers.instruction != kNobody) {
    const std::uint64_t tag = tag_of(step(pointers.instruction));
    if (translation_->relative) {
      rip_to(r10, tag);
      store(at::kX87Instruction, r10);
    } else {
      putSeg(gs);
      mov(qword_at(at::kX87Instruction), narrow() ? translation_->mode.narrow.eip(tag) : tag);
    }
  }
  if (pointers.operand == kNobody) return;
  const Step& operand = step(pointers.operand);
  if (const auto address = constant_address(operand)) {
    putSeg(gs);
    mov(qword_at(at::kX87Operand), static_cast<std::uint64_t>(std::int64_t{*address}));
    return;
  }
  if (narrow()) {
    narrow_offset(operand);
  } else {
    Step offset = operand;
    offset.insn.memory.segment = x86::kDs;  // FDP does not hold the segment's base
    effective_address(offset);
  }
  store(at::kX87Operand, r10);
}

void Emitter::settle_pointers() {
  write_pointers(pointers_);
  pointers_ = {};
}

/// What has not been written is written in front of a step that leaves the translation, or that
/// changes what the address is made of.
void Emitter::keep_pointers(const Step& next) {
  switch (next.kind) {
    case Kind::kCall:
    case Kind::kJump:
    case Kind::kBranch:
    case Kind::kReturn:
      return settle_pointers();
    default:
      break;
  }
  if (pointers_.operand == kNobody || !writes_address(next, step(pointers_.operand))) return;
  write_pointers({kNobody, pointers_.operand});
  pointers_.operand = kNobody;
}

}  // namespace vireo::engine::translator
