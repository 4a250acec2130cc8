#include "engine/translator/emitter.h"

#include <array>

#include "engine/interpreter/handlers.h"
#include "engine/translator/displaced.h"
#include "x86/cpu_state.h"

namespace vireo::engine::translator {
namespace {

/// The displaced registers among the operands that are not addresses.
struct DisplacedOperands {
  std::array<std::uint8_t, 4> gpr{};
  unsigned count = 0;

  explicit DisplacedOperands(const x86::Insn& insn) {
    for (unsigned i = 0; i < insn.operand_count; ++i) {
      const x86::Operand& operand = insn.operands[i];
      if (operand.kind != x86::OperandKind::kGpr || !displaced(operand.number)) continue;
      bool known = false;
      for (unsigned j = 0; j < count; ++j) known = known || gpr[j] == operand.number;
      if (!known) gpr[count++] = operand.number;
    }
  }
};

/// Puts `host` wherever the instruction's encoding names `guest` outside of an address.
bool replace(const x86::Insn& insn, unsigned guest, std::uint8_t host, Placement& placement) {
  for (unsigned i = 0; i < insn.operand_count; ++i) {
    const x86::Operand& operand = insn.operands[i];
    if (operand.kind != x86::OperandKind::kGpr || operand.number != guest) continue;
    switch (operand.place) {
      case x86::OperandPlace::kReg:
        placement.reg = host;
        break;
      case x86::OperandPlace::kRm:
      case x86::OperandPlace::kOpcode:
        placement.rm = host;
        break;
      case x86::OperandPlace::kVvvv:
        placement.vvvv = host;
        break;
      default:
        return false;
    }
  }
  return true;
}

}  // namespace

std::uint64_t Emitter::tag_at(std::int64_t page_offset) const {
  const std::uint64_t tag =
      (translation_->tag & ~kPageMask) + static_cast<std::uint64_t>(page_offset);
  return narrow() ? static_cast<std::uint32_t>(tag) : tag;
}

std::uint32_t Emitter::add_site(const Step& step) {
  const auto number = static_cast<std::uint32_t>(tables_.sites.size());
  Site& site = tables_.sites.add();
  site.from = translation_;
  site.tag = tag_of(step);
  site.bytes = step.insn.bytes;
  site.length = step.insn.length;
  site.code_size = step.insn.code_size;
  site.x87_loaded = x87_known_;
  site.branches =
      step.kind == Kind::kCall || step.kind == Kind::kJump || step.kind == Kind::kReturn;
  step_sites_.push_back(number);
  return number;
}

void Emitter::ensure_vectors(std::size_t index) {
  if (vectors_known_) return;
  vectors_known_ = true;
  spoil_flags(index);
  Label& cold = new_label();
  Label& loaded = new_label();
  putSeg(gs);
  cmp(byte_at(at::kVectorsLoaded), 0);
  je(cold);
  L(loaded);
  cold_.add([this, &cold, &loaded] {
    L(cold);
    lea(r11, loaded);
    store(at::kResume, r11);
    jump_to(glue_.load_vectors);
  });
}

/// The instruction itself, with what is displaced brought to where it can be named.
void Emitter::copy(std::size_t index) {
  const Step& now = step(index);
  const x86::Insn& insn = now.encoding();
  const DisplacedOperands operands(insn);
  // What the scratch registers hold when the instruction runs.
  const bool native = now.on_stack;
  const bool beside = !narrow() && (is_simple(insn.memory) || is_indexed(insn.memory));
  const bool simple = now.has_memory && !native && (beside || constant_address(now));
  const unsigned available = !now.has_memory || native ? 2 : 1;
  if (operands.count > available) return interpret(index);
  const std::array<std::uint8_t, 2> scratch =
      !now.has_memory || native || simple ? std::array<std::uint8_t, 2>{x86::kR10, x86::kR11}
                                          : std::array<std::uint8_t, 2>{x86::kR11, x86::kR10};
  Placement placement;
  for (unsigned i = 0; i < operands.count; ++i)
    if (!replace(insn, operands.gpr[i], scratch[i], placement)) return interpret(index);
  placement.to_memory = now.has_memory;
  // Whether it can be encoded does not depend on the displacement.
  placement.memory.base = x86::kR10;
  placement.memory.index = x86::kR11;
  std::array<std::uint8_t, kMaxEncoding> code;
  if (reencode(insn, placement, code.data()) == 0) return interpret(index);

  if (now.kind == Kind::kVector) ensure_vectors(index);
  if (now.has_memory) placement.memory = access(index, operands.count);
  const bool held = holds() && operands.count == 0;
  const std::uint8_t* before_flags = getCurr();
  need_flags(index, !now.has_memory);
  const bool scratch_kept = now.has_memory || before_flags == getCurr();
  for (unsigned i = 0; i < operands.count; ++i)
    load_guest(Xbyak::Reg64(scratch[i]), operands.gpr[i]);
  append(code.data(), reencode(insn, placement, code.data()));
  still_held(held && scratch_kept);
  for (unsigned i = 0; i < operands.count; ++i)
    if (insn.effects.gpr_written >> operands.gpr[i] & 1)
      store_guest(operands.gpr[i], Xbyak::Reg64(scratch[i]));
}

void Emitter::address_to_register(const Step& now) {
  if (narrow()) return narrow_load_address(now);
  const x86::Insn& insn = now.insn;
  const x86::MemoryOperand& memory = insn.memory;
  const unsigned to = insn.operands[0].number;
  const unsigned width = insn.operands[0].width;
  const auto in_place = [](unsigned gpr) { return gpr == x86::kNoRegister || !displaced(gpr); };
  if (memory.base != x86::kRipBase && in_place(memory.base) && in_place(memory.index) &&
      !displaced(to)) {
    const bool held = holds();
    append(insn.bytes.data(), insn.length);
    return still_held(held);
  }
  Step address = now;
  address.insn.memory.segment = x86::kDs;
  effective_address(address);
  if (insn.address_width == 4 || width == 4) mov(r10d, r10d);
  const Xbyak::Reg64 target(static_cast<int>(displaced(to) ? unsigned{x86::kR11} : to));
  if (width == 2) {
    if (displaced(to)) load_guest(r11, to);
    mov(target.cvt16(), r10w);
    if (displaced(to)) store_guest(to, r11);
  } else if (displaced(to)) {
    store_guest(to, r10);
  } else {
    mov(target, r10);
  }
}

/// MOV of an immediate as it stands in guest memory when the instruction is executed.
void Emitter::load_live_immediate(const Step& step) {
  const x86::Operand& to = step.insn.operands[0];
  const Xbyak::Reg64 target = displaced(to.number) ? r11 : Xbyak::Reg64(to.number);
  // SAFETY: guest memory stays where it is as long as its engine; a move of pages retires code.
  mov(r10, reinterpret_cast<std::uint64_t>(step.live_immediate));
  if (to.width == 4)
    mov(target.cvt32(), dword[r10]);
  else if (step.insn.layout.immediate_size == 4)
    movsxd(target, dword[r10]);
  else
    mov(target, ptr[r10]);
  if (displaced(to.number)) store_guest(to.number, target);
}

/// ADD, SUB or LEA of a constant to RSP. The host's sum has the guest's flags only by chance.
void Emitter::adjust_stack(std::size_t index) {
  if (narrow()) return narrow_adjust_stack(index);
  const Step& now = step(index);
  const x86::Insn& insn = now.insn;
  const bool lea_form = insn.mnemonic == ZYDIS_MNEMONIC_LEA;
  const auto amount = static_cast<std::int32_t>(
      lea_form ? insn.memory.displacement : static_cast<std::int64_t>(insn.immediate));
  if (!lea_form && sets_flags(now)) {
    load_guest(r10, x86::kRsp);
    if (insn.mnemonic == ZYDIS_MNEMONIC_ADD)
      add(r10, imm(amount));
    else
      sub(r10, imm(amount));
  }
  lea(rsp, ptr[rsp + disp(insn.mnemonic == ZYDIS_MNEMONIC_SUB ? -amount : amount)]);
}

/// Whether the step is in this translation and nobody looks for events before it is done: C++ has
/// a handler, should it come to that, and need not leave it to the interpreter.
bool Emitter::finishes_here(std::size_t index) const {
  return index < block_->steps.size() &&
         (step(index).kind == Kind::kNothing || interpreter::find_handler(step(index).insn));
}

/// C++ executes the instruction, unless it has to leave.
void Emitter::interpret(std::size_t index) {
  const Step& now = step(index);
  settle_pointers();
  x87_known_ = false;
  const std::uint32_t site = add_site(now);
  if (have_again(flags_, producer_, index)) flags_ = Flags::kHost;
  tables_.sites[site].more_follows = finishes_here(index + 1);
  const std::uint8_t* where = system_call(index, flags_ == Flags::kHost);
  if (where == nullptr) where = flags_ == Flags::kHost ? glue_.call : glue_.call_saved;
  site_to_r11(site);
  jump_to(where);
  if (flags_ == Flags::kSaved) flags_ = Flags::kHost;
}

/// What might not be divided goes to C++: the quotient must fit. For IDIV only dividends that are
/// no wider than the divisor are divided here, and not by 0 or -1.
void Emitter::divide(std::size_t index) {
  const Step& now = step(index);
  const x86::Insn& insn = now.insn;
  const bool wide = insn.operands[0].width == 8;
  const auto sized = [wide](const Xbyak::Reg64& reg) {
    return wide ? Xbyak::Reg(reg) : Xbyak::Reg(reg.cvt32());
  };
  spoil_flags(index);
  if (now.has_memory) {
    mov(sized(r10), ptr[host_address(access(index, 0))]);
  } else if (displaced(insn.operands[0].number)) {
    load_guest(r10, insn.operands[0].number);
  } else {
    mov(r10, Xbyak::Reg64(insn.operands[0].number));
  }
  Label& cold = new_label();
  if (insn.mnemonic == ZYDIS_MNEMONIC_DIV) {
    cmp(sized(rdx), sized(r10));
    jae(cold);
  } else {
    mov(sized(r11), sized(rax));
    sar(sized(r11), wide ? 63 : 31);
    cmp(sized(r11), sized(rdx));
    jne(cold);
    lea(sized(r11), ptr[r10 + 1]);
    cmp(sized(r11), 1);
    jbe(cold);
  }
  cold_call(index, add_site(now), cold);
  need_flags(index, true);
  if (insn.mnemonic == ZYDIS_MNEMONIC_DIV)
    div(sized(r10));
  else
    idiv(sized(r10));
}

/// C++ executes the whole instruction, seldom.
void Emitter::cold_call(std::size_t index, std::uint32_t site, Label& from) {
  const Flags flags = flags_;
  const std::size_t producer = producer_;
  const X87Pointers pointers = pointers_;
  cold_.add([this, index, site, &from, flags, producer, pointers] {
    L(from);
    write_pointers(pointers);
    const bool again = have_again(flags, producer, index);
    site_to_r11(site);
    jump_to(again ? glue_.call : glue_.call_saved);
  });
}

void Emitter::emit_step(std::size_t index) {
  const Step& now = step(index);
  step_sites_.clear();
  keep_pointers(now);
  switch (now.kind) {
    case Kind::kCopy:
    case Kind::kVector:
      now.live_immediate != nullptr ? load_live_immediate(now) : copy(index);
      break;
    case Kind::kX87:
      x87(index);
      break;
    case Kind::kNothing:
      break;
    case Kind::kLea:
      address_to_register(now);
      break;
    case Kind::kPush:
      push(index);
      break;
    case Kind::kPop:
      pop(index);
      break;
    case Kind::kAdjustStack:
      adjust_stack(index);
      break;
    case Kind::kLeave:
      leave(index);
      break;
    case Kind::kCall:
    case Kind::kJump:
      call_or_jump(index);
      break;
    case Kind::kBranch:
      branch(index);
      break;
    case Kind::kReturn:
      return_near(index);
      break;
    case Kind::kDivide:
      divide(index);
      break;
    case Kind::kSystem:
      system(index);
      break;
    case Kind::kInterpret:
      interpret(index);
      break;
  }
  forget_changed_sums(now);
  after_step(index);
  for (const std::uint32_t site : step_sites_) tables_.sites[site].resume = here();
}

Label& Emitter::new_label() {
  if (labels_used_ == labels_.size()) labels_.emplace_back();
  return labels_[labels_used_++] = {};
}

void Emitter::emit(const Superblock& block, Translation& translation, Recording* recording) {
  const auto from_start = [this](const std::uint8_t* writable) {
    return static_cast<std::size_t>(writable - getCode());
  };
  const std::size_t begin = from_start(memory_.writable());
  setSize(begin);
  labels_used_ = 0;
  recording_ = recording;
  if (recording != nullptr)
    *recording = {.start = memory_.start(),
                  .first_site = static_cast<std::uint32_t>(tables_.sites.size()),
                  .first_exit = static_cast<std::uint32_t>(tables_.exits.size())};
  block_ = &block;
  translation_ = &translation;
  flags_ = Flags::kHost;
  producer_ = kNobody;
  vectors_known_ = x87_known_ = false;
  found_ = 0;
  held_until_ = nullptr;
  last_recalled_ = 1;
  written_ = 0;
  for (const Step& each : block.steps) written_ |= each.insn.effects.gpr_written;
  plan_sums();
  pointers_ = {};
  tlb_ = translation.mode.user        ? TlbIndex::kUser
         : translation.mode.suspended ? TlbIndex::kSmapSuspended
                                      : TlbIndex::kSupervisor;
  emit_heads(block);
  for (std::size_t i = 0; i < block.steps.size(); ++i) emit_step(i);
  if (block.falls_through) fall_through();
  const std::size_t bytes = getSize() - begin;
  translation.code_bytes = static_cast<std::size_t>(here() - translation.begin);
  setSize(from_start(memory_.writable(CodeMemory::Part::kSeldom)));
  const std::uint8_t* seldom = here();
  cold_.write();
  translation.seldom = {seldom, here()};
  translation.first = block.first;
  translation.last = block.last;
  if (recording != nullptr) {
    recording->often = {memory_.writable(), bytes};
    recording->seldom = {memory_.writable(CodeMemory::Part::kSeldom), translation.seldom.size()};
  }
  memory_.commit(bytes);
  memory_.commit(translation.seldom.size(), CodeMemory::Part::kSeldom);
}

}  // namespace vireo::engine::translator
