#include "engine/translator/displaced.h"
#include "engine/translator/emitter.h"
#include "x86/cpu_state.h"

// Accesses that share a look into the TLB: see access_plan.h. What the look found, the distance
// between host and linear addresses, is in TranslatorCpu::looks for those that follow, and as long
// as nothing else is done with R10 and R11 it stays there too.

namespace vireo::engine::translator {
namespace {

Xbyak::Reg64 host(unsigned gpr) { return Xbyak::Reg64(static_cast<int>(gpr)); }

}  // namespace

/// Of an indexed operand, which is added to the way: of base and index the one that stays what it
/// is, if the other does not. kNoRegister: none is, or the operand is no indexed one.
std::uint8_t Emitter::added_to_way(const Step& step) const {
  const x86::MemoryOperand& memory = step.insn.memory;
  if (narrow() || !is_indexed(memory)) return x86::kNoRegister;
  const bool swap = memory.base < 16 && memory.scale_shift == 0 &&
                    (written_ >> memory.base & 1) != 0 && (written_ >> memory.index & 1) == 0;
  return swap ? memory.index : memory.base;
}

void Emitter::plan_sums() {
  sums_.fill(x86::kNoRegister);
  std::uint32_t seen = 0;
  for (const Step& each : block_->steps) {
    if (each.look == Step::kOwnLook) continue;
    const std::uint8_t added = added_to_way(each);
    const bool lasts = added < 16 && (written_ >> added & 1) == 0;
    std::uint8_t& sum = sums_[each.look];
    const bool first = (seen >> each.look & 1) == 0;
    sum = lasts && (first || sum == added) ? added : std::uint8_t{x86::kNoRegister};
    seen |= 1u << each.look;
  }
}

/// R11 is what the step has found for others, to which it adds what all of them do.
void Emitter::remember(const Step& now) {
  if (!now.looks_for_others) return;
  const std::uint8_t sum = sums_[now.look];
  if (sum < 16) lea(r11, ptr[r11 + host(sum)]);
  store(at::look(now.look), r11);
  found_ |= 1u << now.look;
  held_[0] = {};
  held_[1] = {now.look, sum};
  still_held(true);
}

/// No code stands behind that which put something into the scratch registers.
bool Emitter::holds() const { return held_until_ == getCurr(); }

void Emitter::still_held(bool held) {
  if (held) held_until_ = getCurr();
}

/// The sum with a register that the step has changed is gone.
void Emitter::forget_changed_sums(const Step& done) {
  for (HeldWay& each : held_)
    if (each.added < 16 && (done.insn.effects.gpr_written >> each.added & 1) != 0) each = {};
}

/// The way that a look has found, with a register added unless it is kNoRegister: in R11, or in
/// either of the scratch registers. Keeps the flags.
Xbyak::Reg64 Emitter::recall(const HeldWay& way, bool both_free) {
  const std::array<Xbyak::Reg64, 2> scratch{r10, r11};
  if (!holds()) held_ = {};
  const HeldWay remembered{way.look, sums_[way.look]};
  std::size_t place = both_free && last_recalled_ == 1 ? 0 : 1;
  if (held_[1] == way) {
    place = 1;
  } else if (both_free && held_[0] == way) {
    place = 0;
  } else {
    const bool more = way != remembered;
    if (held_[1 - place] == remembered && more) {
      lea(scratch[place], ptr[scratch[1 - place] + host(way.added)]);
    } else {
      if (held_[place] != remembered) load(scratch[place], at::look(way.look));
      if (more) lea(scratch[place], ptr[scratch[place] + host(way.added)]);
    }
    held_[place] = way;
  }
  if (!both_free) held_[0] = {};
  last_recalled_ = place;
  still_held(true);
  return scratch[place];
}

/// Where another step of the superblock has found the way. Keeps the flags.
HostMemory Emitter::follow(const Step& now, unsigned scratch_wanted) {
  HostMemory result;
  const x86::MemoryOperand& memory = now.insn.memory;
  const bool both_free = scratch_wanted == 0;
  const HeldWay plain{now.look, x86::kNoRegister};
  if (const auto address = constant_address(now)) {
    result.base = static_cast<std::uint8_t>(recall(plain, both_free).getIdx());
    result.displacement = *address;
    return result;
  }
  if (is_simple(memory)) return operand_beside(memory, recall(plain, both_free));
  if (is_indexed(memory))
    return operand_behind(now, recall({now.look, added_to_way(now)}, both_free));
  effective_address(now);
  recall(plain, false);
  result.base = x86::kR10;
  if (scratch_wanted == 0)
    result.index = x86::kR11;
  else
    lea(r10, ptr[r10 + r11]);
  return result;
}

/// An operand at a constant offset from FS or GS. Where SMAP is suspended the slots do not apply.
bool Emitter::has_segment_slot(const Step& step) const {
  const x86::MemoryOperand& memory = step.insn.memory;
  return memory.segment >= x86::kFs && memory.base == x86::kNoRegister &&
         memory.index == x86::kNoRegister && step.memory_size <= SegmentSlots::kMaxSize &&
         step.alignment == 1 && tlb_ != TlbIndex::kSmapSuspended;
}

/// The slot is looked at first, and filled by the TLB if it is another's. The host's address is in
/// R10.
HostMemory Emitter::segment_slot(std::size_t index, std::uint32_t site) {
  const Step& now = step(index);
  const bool write = now.memory_written;
  const std::size_t place =
      SegmentSlots::place(translation_->mode.user, write, now.insn.memory.displacement);
  const std::size_t linear = at::segment_slot(place, offsetof(SegmentSlots::Slot, linear)),
                    there = at::segment_slot(place, offsetof(SegmentSlots::Slot, host));
  Label &unknown = new_label(), &known = new_label();
  effective_address(now);
  putSeg(gs);
  cmp(r10, qword_at(linear));
  jne(unknown);
  load(r10, there);
  L(known);
  cold_.add([this, index, site, write, linear, there, &unknown, &known, flags = flags_,
             producer = producer_, tlb = tlb_, pointers = pointers_] {
    L(unknown);
    flags_ = flags;
    producer_ = producer;
    tlb_ = tlb;
    pointers_ = pointers;
    const Step& looked = step(index);
    check(index, site, SegmentSlots::kMaxSize, write, 1);
    to_linear_address(looked, write);
    store(linear, r10);
    load_from_tlb(looked);
    lea(r10, ptr[r11 + r10]);
    store(there, r10);
    jmp(known);
  });
  HostMemory result;
  result.base = x86::kR10;
  return result;
}

/// A simple or indexed operand, `way` being the distance to the host's address.
HostMemory Emitter::operand_beside(const x86::MemoryOperand& memory, const Xbyak::Reg64& way) {
  HostMemory result;
  result.displacement = static_cast<std::int32_t>(memory.displacement);
  const auto number = static_cast<std::uint8_t>(way.getIdx());
  if (is_simple(memory)) {
    result.base = memory.base;
    result.index = number;
    return result;
  }
  if (memory.base != x86::kNoRegister) {
    const bool held = holds();
    lea(way, ptr[way + host(memory.base)]);
    held_[1].added = memory.base;
    still_held(held);
  }
  result.base = number;
  result.index = memory.index;
  result.scale_shift = memory.scale_shift;
  return result;
}

/// An indexed operand, `sum` being the way with added_to_way().
HostMemory Emitter::operand_behind(const Step& now, const Xbyak::Reg64& sum) const {
  const x86::MemoryOperand& memory = now.insn.memory;
  HostMemory result;
  result.base = static_cast<std::uint8_t>(sum.getIdx());
  result.index = added_to_way(now) == memory.base ? memory.index : memory.base;
  result.scale_shift = memory.scale_shift;
  result.displacement = static_cast<std::int32_t>(memory.displacement);
  return result;
}

}  // namespace vireo::engine::translator
