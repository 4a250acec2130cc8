#include <limits>

#include "engine/translator/displaced.h"
#include "engine/translator/emitter.h"
#include "x86/cpu_state.h"

namespace vireo::engine::translator {
namespace {

/// General registers that a recipe for the step's flags reads; empty if there is none.
std::optional<std::uint16_t> recipe_registers(const Step& step) {
  const x86::Insn& insn = step.insn;
  const auto &a = insn.operands[0], &b = insn.operands[1];
  if (step.kind != Kind::kCopy || step.has_memory || a.kind != x86::OperandKind::kGpr ||
      displaced(a.number))
    return {};
  const bool with_register = b.kind == x86::OperandKind::kGpr;
  const auto first = static_cast<std::uint16_t>(1u << a.number);
  switch (insn.mnemonic) {
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
      if (b.kind == x86::OperandKind::kImmediate) return first;
      if (!with_register || displaced(b.number)) return {};
      return static_cast<std::uint16_t>(first | 1u << b.number);
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
      return first;
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB: {
      constexpr auto kLowest = std::numeric_limits<std::int32_t>::min();
      if (b.kind == x86::OperandKind::kImmediate) {
        if (static_cast<std::int32_t>(insn.immediate) == kLowest) return {};
        return first;
      }
      if (!with_register || displaced(b.number) || a.number == b.number) return {};
      return static_cast<std::uint16_t>(first | 1u << b.number);
    }
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
      if (step.flags_live & x86::rflags::kCf) return {};  // which is older
      return first;
    default:
      return {};
  }
}

/// Done again, the instruction would change its register: it needs another, with what was there.
bool recipe_wants_register(const Step& step) {
  switch (step.insn.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
      return true;
    default:
      return false;
  }
}

Xbyak::Reg sized(int number, unsigned width) {
  switch (width) {
    case 1:
      return Xbyak::Reg8(number, number >= 4);
    case 2:
      return Xbyak::Reg16(number);
    case 4:
      return Xbyak::Reg32(number);
    default:
      return Xbyak::Reg64(number);
  }
}

}  // namespace

/// Nothing between the producer and the step has changed what the recipe reads.
bool Emitter::recipe_intact(std::size_t producer, std::size_t index) const {
  if (producer == kNobody) return false;
  const auto registers = recipe_registers(step(producer));
  if (!registers) return false;
  for (std::size_t i = producer + 1; i < index; ++i)
    if (step(i).insn.effects.gpr_written & *registers) return false;
  return true;
}

/// And nothing will as long as somebody may ask for the flags.
bool Emitter::recipe_lasts(std::size_t producer, std::size_t index) const {
  if (!recipe_intact(producer, index)) return false;
  const std::uint16_t registers = *recipe_registers(step(producer));
  bool broken = false;
  for (std::size_t i = index; i < block_->steps.size(); ++i) {
    const Step& use = step(i);
    if (broken && (use.flags_used != 0 || exact_flags_)) return false;
    if (use.flags_live == 0 || (use.insn.effects.flags_killed & use.flags_live) == use.flags_live)
      return true;
    broken = broken || (use.insn.effects.gpr_written & registers) != 0;
  }
  return !broken;
}

/// The host's flags are about to be overwritten in front of the step itself. Spoils R11.
void Emitter::spoil_flags(std::size_t index) {
  if (flags_ != Flags::kHost) return;
  const Step& next = step(index);
  const auto kept = next.flags_live & ~next.insn.effects.flags_killed;
  if ((next.flags_used | kept) == 0 && !exact_flags_) {
    flags_ = Flags::kDead;
  } else if (recipe_lasts(producer_, index)) {
    flags_ = Flags::kRecipe;
  } else {
    emit_save();
  }
}

/// Spoils R11.
void Emitter::emit_save() {
  mov(r11, rax);
  take_flags();
  mov(rax, r11);
  flags_ = Flags::kSaved;
}

/// The guest's flags become the host's. Touches no other register, but R11 if that is free.
void Emitter::need_flags(std::size_t index, bool r11_free) {
  if (step(index).flags_used == 0) return;
  if (flags_ == Flags::kRecipe) emit_recipe(producer_, r11_free);
  if (flags_ == Flags::kSaved) emit_restore(r11_free);
  flags_ = Flags::kHost;
}

/// Brings flags that are in neither place into the host's by what set them, if that can be executed
/// again; also dead ones, which a frame might show. Spoils R11.
bool Emitter::have_again(Flags flags, std::size_t producer, std::size_t index) {
  const bool again =
      flags == Flags::kRecipe || (flags == Flags::kDead && recipe_intact(producer, index));
  if (again) emit_recipe(producer, true);
  return again;
}

/// To code that nothing is known of. Whether they are in Cpu::flags; otherwise they are the host's.
bool Emitter::hand_over_flags(std::size_t index) {
  return !have_again(flags_, producer_, index) && flags_ != Flags::kHost;
}

/// Whether the code written for the step leaves its flags behind.
bool Emitter::sets_flags(const Step& done) const {
  return done.kind != Kind::kAdjustStack || done.flags_live != 0;
}

void Emitter::after_step(std::size_t index) {
  if (!step(index).defines_flags()) return;
  if (step(index).insn.mnemonic == ZYDIS_MNEMONIC_POPFQ) {
    flags_ = Flags::kSaved;
    producer_ = kNobody;
    return;
  }
  flags_ = sets_flags(step(index)) ? Flags::kHost : Flags::kDead;
  producer_ = recipe_registers(step(index)) ? index : kNobody;
}

/// CMP and TEST once more; for AND, OR and XOR a TEST of the result, which sets all flags alike;
/// for others the operation again, from what it began with.
void Emitter::emit_recipe(std::size_t producer, bool r11_free) {
  const x86::Insn& insn = step(producer).insn;
  const auto mnemonic = insn.mnemonic;
  if (mnemonic == ZYDIS_MNEMONIC_CMP || mnemonic == ZYDIS_MNEMONIC_TEST) {
    const x86::Insn& encoding = step(producer).encoding();
    append(encoding.bytes.data(), encoding.length);
  } else if (recipe_wants_register(step(producer))) {
    const bool rax_needed = insn.operands[1].number == x86::kRax;
    const Xbyak::Reg64 place = r11_free ? r11 : rax_needed ? rcx : rax;
    if (!r11_free) store(at::kScratch, place);
    repeat(insn, place);
    if (!r11_free) load(place, at::kScratch);
  } else {
    const Xbyak::Reg result = sized(insn.operands[0].number, insn.operands[0].width);
    test(result, result);
  }
}

/// ADD, SUB, INC or DEC, whose result is known, in another register.
void Emitter::repeat(const x86::Insn& insn, const Xbyak::Reg64& in) {
  const unsigned width = insn.operands[0].width;
  const Xbyak::Reg64 result(static_cast<int>(insn.operands[0].number));
  const Xbyak::Reg place = sized(in.getIdx(), width);
  const x86::Operand& other = insn.operands[1];
  const bool adds = insn.mnemonic == ZYDIS_MNEMONIC_ADD || insn.mnemonic == ZYDIS_MNEMONIC_INC;
  if (insn.mnemonic == ZYDIS_MNEMONIC_INC || insn.mnemonic == ZYDIS_MNEMONIC_DEC) {
    lea(in, ptr[result + disp(adds ? -1 : 1)]);
    adds ? inc(place) : dec(place);
  } else if (other.kind == x86::OperandKind::kImmediate) {
    const auto amount = width == 2 ? static_cast<std::int16_t>(insn.immediate)
                                   : static_cast<std::int32_t>(insn.immediate);
    lea(in, ptr[result + disp(adds ? -std::int64_t{amount} : amount)]);
    adds ? add(place, imm(amount)) : sub(place, imm(amount));
  } else {
    const Xbyak::Reg64 amount(static_cast<int>(other.number));
    const Xbyak::Reg operand = sized(other.number, width);
    if (adds) {
      mov(in, result);
      sub(place, operand);
      add(place, operand);
    } else {
      lea(in, ptr[result + amount]);
      sub(place, operand);
    }
  }
}

void Emitter::emit_restore(bool r11_free) {
  if (r11_free)
    mov(r11, rax);
  else
    store(at::kScratch, rax);
  bring_flags();
  if (r11_free)
    mov(rax, r11);
  else
    load(rax, at::kScratch);
}

}  // namespace vireo::engine::translator
