#include "engine/translator/displaced.h"
#include "engine/translator/emitter.h"
#include "x86/cpu_state.h"

namespace vireo::engine::translator {
namespace {

using x86::kNoRegister;
using x86::kRipBase;

Xbyak::Reg64 host(unsigned gpr) { return Xbyak::Reg64(static_cast<int>(gpr)); }

std::size_t tag_member(bool write) {
  return write ? offsetof(TlbEntry, write_tag) : offsetof(TlbEntry, read_tag);
}

std::size_t salted(std::size_t member, std::uint8_t salt) {
  return salt * Tlb::kSaltStride * sizeof(TlbEntry) + member;
}

}  // namespace

/// See Tlb::kSalts.
std::uint8_t Emitter::salt_of(const Step& step) const {
  if (!block_->salted || !step.has_memory) return 0;
  const x86::MemoryOperand& memory = step.insn.memory;
  const std::uint8_t gpr = memory.base < 16 ? memory.base : memory.index < 16 ? memory.index : 0;
  return gpr % Tlb::kSalts;
}

void Emitter::load_guest(const Xbyak::Reg64& to, unsigned gpr) {
  if (gpr == x86::kRsp) {
    load(to, at::kNegativeDelta);
    lea(to, ptr[to + rsp]);
  } else {
    load(to, at::gpr(gpr));
  }
}

void Emitter::store_guest(unsigned gpr, const Xbyak::Reg64& from) {
  if (gpr == x86::kRsp) {
    load(rsp, at::kStackDelta);
    lea(rsp, ptr[rsp + from]);
  } else {
    store(at::gpr(gpr), from);
  }
}

/// The address that the tag stands for.
void Emitter::rip_to(const Xbyak::Reg64& to, std::uint64_t tag) {
  const auto number = static_cast<std::int64_t>(tag);
  if (!translation_->relative) {
    mov(to, tag);
  } else if (fits32(tag)) {
    load(to, at::kCodeBase);
    lea(to, ptr[to + disp(number)]);
  } else {
    const Xbyak::Reg64& other = to.getIdx() == r10.getIdx() ? r11 : r10;
    mov(to, tag);
    store(at::kScratch, other);
    load(other, at::kCodeBase);
    lea(to, ptr[to + other]);
    load(other, at::kScratch);
  }
}

/// Into R10, the segment's base included, and so many bytes further. Spoils R11 and, with FS and
/// GS, the flags.
void Emitter::effective_address(const Step& step, std::int64_t further) {
  const x86::MemoryOperand& memory = step.insn.memory;
  const std::int64_t displacement = memory.displacement + further;
  if (memory.base == kRipBase) {
    rip_to(r10, tag_of(step) + step.insn.length + static_cast<std::uint64_t>(displacement));
  } else if (memory.base == kNoRegister && memory.index == kNoRegister) {
    mov(r10, static_cast<std::uint64_t>(displacement));
  } else {
    Xbyak::RegExp address;
    if (memory.base != kNoRegister) {
      if (displaced(memory.base)) load_guest(r10, memory.base);
      address = displaced(memory.base) ? r10 : host(memory.base);
    }
    if (memory.index != kNoRegister) {
      if (displaced(memory.index)) load_guest(r11, memory.index);
      const Xbyak::Reg64 index = displaced(memory.index) ? r11 : host(memory.index);
      const Xbyak::RegExp scaled = index * (1 << memory.scale_shift);
      address = memory.base != kNoRegister ? address + scaled : scaled;
    }
    const bool together = fits32(static_cast<std::uint64_t>(displacement));
    if (memory.index == kNoRegister && displacement == 0) {
      if (!displaced(memory.base)) mov(r10, host(memory.base));
    } else {
      lea(r10, ptr[address + disp(together ? displacement : memory.displacement)]);
      if (!together) lea(r10, ptr[r10 + disp(further)]);
    }
  }
  if (memory.segment >= x86::kFs) {
    putSeg(gs);
    add(r10, qword_at(at::segment_base(memory.segment)));
  }
}

/// [base + displacement]: the operand as it is, plus the distance to the host's address.
bool Emitter::is_simple(const x86::MemoryOperand& memory) {
  return memory.base < 16 && !displaced(memory.base) && memory.index == kNoRegister &&
         memory.segment < x86::kFs;
}

/// [base + index + displacement], where R11 can take the place of the base.
bool Emitter::is_indexed(const x86::MemoryOperand& memory) {
  return memory.index != kNoRegister && !displaced(memory.index) && memory.base != kRipBase &&
         (memory.base == kNoRegister || !displaced(memory.base)) && memory.segment < x86::kFs;
}

/// An address that is known now, is aligned as it must be and does not leave its page.
std::optional<std::int32_t> Emitter::constant_address(const Step& step) const {
  const x86::MemoryOperand& memory = step.insn.memory;
  const bool flat = narrow() ? translation_->mode.narrow.form(memory.segment) == SegmentForm::kFlat
                             : memory.segment < x86::kFs;
  if (!flat || memory.index != kNoRegister) return {};
  auto address = memory.displacement;
  if (narrow()) address &= step.insn.address_width == 2 ? 0xffff : 0xffffffff;
  if (memory.base == kRipBase) {
    if (translation_->relative) return {};
    address += static_cast<std::int64_t>(tag_of(step)) + step.insn.length;
  } else if (memory.base != kNoRegister) {
    return {};
  }
  const std::uint64_t in_page = static_cast<std::uint64_t>(address) & kPageMask;
  if (!fits32(static_cast<std::uint64_t>(address)) || in_page + step.memory_size > kPageSize ||
      (in_page & (step.alignment - 1u)) != 0)
    return {};
  return static_cast<std::int32_t>(address);
}

Xbyak::RegExp Emitter::host_address(const HostMemory& memory) {
  Xbyak::RegExp address = host(memory.base);
  if (memory.index != HostMemory::kNone)
    address = address + host(memory.index) * (1 << memory.scale_shift);
  return address + disp(memory.displacement);
}

HostMemory Emitter::native_stack(const Step& step) const {
  HostMemory memory;
  memory.base = x86::kRsp;
  memory.displacement = static_cast<std::int32_t>(step.insn.memory.displacement);
  return memory;
}

/// From "ja cold" or "jne cold": the address is put together again, then C++ decides.
void Emitter::cold_miss(std::size_t index, std::uint32_t site, Label& from, bool constant) {
  const Flags flags = flags_;
  const std::size_t producer = producer_;
  const TlbIndex tlb = tlb_;
  const X87Pointers pointers = pointers_;
  cold_.add([this, index, site, &from, constant, flags, producer, tlb, pointers] {
    L(from);
    const Step& missed = step(index);
    const bool write = tables_.sites[site].write;
    if (constant) {
      mov(r10, static_cast<std::uint64_t>(std::int64_t{*constant_address(missed)}));
    } else {
      putSeg(gs);
      add(r10, ptr[r11 + at::tlb(tlb, salted(tag_member(write), tables_.sites[site].salt))]);
    }
    store(at::kMissAddress, r10);
    write_pointers(pointers);
    const Site& looked = tables_.sites[site];
    if (looked.looks_for_others && !constant) {
      Label &whole = new_label(), &careful = new_label();
      load(r10, at::kMissAddress);  // the pointers may have taken its place
      if (looked.alignment > 1) {
        test(r10d, looked.alignment - 1u);
        jnz(careful);
      }
      and_(r10d, static_cast<std::uint32_t>(kPageMask));
      cmp(r10d, static_cast<std::uint32_t>(kPageSize - looked.size));
      jbe(whole);
      L(careful);
      go_carefully(index, flags, producer, tlb);
      L(whole);
    }
    const bool again = have_again(flags, producer, index);
    site_to_r11(site);
    jump_to(again || flags == Flags::kHost ? glue_.miss : glue_.miss_saved);
  });
}

/// From the step on by code that checks every access.
void Emitter::go_carefully(std::size_t index, Flags flags, std::size_t producer, TlbIndex tlb) {
  if (!have_again(flags, producer, index) && flags == Flags::kSaved) emit_restore(true);
  Label& stub = new_label();
  jmp(stub);
  Exit& exit = link_exit(tag_of(step(index)), current() - 4, stub);
  exit.careful = true;
  exit.suspended = tlb == TlbIndex::kSmapSuspended;
}

void Emitter::note_access(std::uint32_t number, unsigned size, bool write, unsigned alignment) {
  Site& site = tables_.sites[number];
  site.tlb = tlb_;
  site.write = write;
  site.size = static_cast<std::uint16_t>(size);
  site.alignment = static_cast<std::uint16_t>(alignment);
}

/// R10 holds the linear address. Behind it R10 is the offset in the page and R11 that of the entry
/// in the TLB.
void Emitter::check(std::size_t index, std::uint32_t site, unsigned size, bool write,
                    unsigned alignment) {
  Label& cold = new_label();
  if (bmi2_) {
    rorx(r11, r10, 7);
  } else {
    mov(r11, r10);
    shr(r11, 7);
  }
  and_(r11d, static_cast<std::uint32_t>((Tlb::kEntries - 1) * sizeof(TlbEntry)));
  putSeg(gs);
  const std::uint8_t salt = salt_of(step(index));
  tables_.sites[site].salt = salt;
  sub(r10, ptr[r11 + at::tlb(tlb_, salted(tag_member(write), salt))]);
  if (alignment > 1 && alignment == size) {
    // What is aligned to its size does not leave the page.
    test(r10, ~static_cast<std::uint32_t>(kPageSize - size));
    jnz(cold);
  } else {
    cmp(r10, static_cast<std::uint32_t>(kPageSize - size));
    ja(cold);
    if (alignment > 1) {
      test(r10d, alignment - 1);
      jnz(cold);
    }
  }
  note_access(site, size, write, alignment);
  cold_miss(index, site, cold, false);
}

/// An operand whose address is known now.
HostMemory Emitter::find_constant(std::size_t index, std::uint32_t site, std::int32_t address) {
  const Step& now = step(index);
  const bool write = now.looks_for_others ? now.look_written : now.memory_written;
  const auto page = static_cast<std::uint32_t>(address) & ~static_cast<std::uint32_t>(kPageMask);
  const std::uint64_t number = static_cast<std::uint64_t>(std::int64_t{address}) >> kPageShift;
  const auto entry = static_cast<std::size_t>(number & (Tlb::kEntries - 1)) * sizeof(TlbEntry);
  Label& cold = new_label();
  putSeg(gs);
  cmp(qword_at(at::tlb(tlb_, entry + tag_member(write))), page);
  jne(cold);
  note_access(site, now.memory_size, write, 1);
  cold_miss(index, site, cold, true);
  load(r11, at::tlb(tlb_, entry + offsetof(TlbEntry, delta)));
  remember(now);
  HostMemory result;
  result.base = x86::kR11;
  result.displacement = address;
  return result;
}

/// An operand that is in the stack window as a rule, though not sure to be.
bool Emitter::is_near_stack(const Step& step) const {
  const x86::MemoryOperand& memory = step.insn.memory;
  return memory.base == x86::kRsp && memory.segment < x86::kFs && step.alignment == 1 &&
         !translation_->mode.careful;
}

/// The window is looked at first, the TLB if it is not there. The host's address is in R10.
HostMemory Emitter::near_stack(std::size_t index, std::uint32_t site) {
  const x86::MemoryOperand& memory = step(index).insn.memory;
  const unsigned size = step(index).memory_size;
  Xbyak::RegExp place = rsp + disp(memory.displacement);
  if (memory.index != kNoRegister) {
    if (displaced(memory.index)) load_guest(r11, memory.index);
    place =
        place + (displaced(memory.index) ? r11 : host(memory.index)) * (1 << memory.scale_shift);
  }
  Label &outside = new_label(), &there = new_label();
  lea(r10, ptr[place]);
  mov(r11, r10);
  putSeg(gs);
  sub(r11, qword_at(at::kWindow));
  cmp(r11, static_cast<std::uint32_t>(TranslatorCpu::kWindowSize - size));
  ja(outside);
  L(there);
  cold_.add([this, index, site, size, &outside, &there, flags = flags_, producer = producer_,
             tlb = tlb_, pointers = pointers_] {
    L(outside);
    flags_ = flags;
    producer_ = producer;
    tlb_ = tlb;
    pointers_ = pointers;
    const bool write = step(index).memory_written;
    putSeg(gs);
    add(r10, qword_at(at::kNegativeDelta));
    check(index, site, size, write, 1);
    to_host_address(step(index), write);
    jmp(there);
  });
  HostMemory result;
  result.base = x86::kR10;
  return result;
}

/// The memory operand, checked, with at least so many scratch registers left over as are wanted.
HostMemory Emitter::access(std::size_t index, unsigned scratch_wanted) {
  const Step& now = step(index);
  if (now.on_stack && is_copied(now.kind)) return native_stack(now);
  // Who should have looked may have been left to C++.
  const bool found = now.look != Step::kOwnLook && (found_ >> now.look & 1) != 0;
  if (found) return follow(now, scratch_wanted);
  if (narrow()) return narrow_access(index, scratch_wanted);
  const bool shared = now.looks_for_others;
  spoil_flags(index);
  const std::uint32_t site = add_site(now);
  tables_.sites[site].retry = here();
  tables_.sites[site].looks_for_others = shared;
  if (const auto address = constant_address(now)) return find_constant(index, site, *address);
  if (!shared && is_near_stack(now)) return near_stack(index, site);
  if (!shared && has_segment_slot(now)) return segment_slot(index, site);
  const bool write = shared ? now.look_written : now.memory_written;
  const int low = shared ? now.look_low : 0;
  effective_address(now, low);
  if (shared)
    check(index, site, static_cast<unsigned>(now.look_high - low), write, now.look_alignment);
  else
    check(index, site, now.memory_size, write, now.alignment);
  const x86::MemoryOperand& memory = now.insn.memory;
  if (is_simple(memory) || is_indexed(memory)) {
    load_from_tlb(now);
    remember(now);
    return shared && sums_[now.look] < 16 ? operand_behind(now, r11) : operand_beside(memory, r11);
  }
  HostMemory result;
  result.base = x86::kR10;
  result.displacement = -low;
  if (scratch_wanted == 0 || shared) {
    to_linear_address(now, write);
    load_from_tlb(now);
    remember(now);
    if (scratch_wanted == 0)
      result.index = x86::kR11;
    else
      lea(r10, ptr[r10 + r11]);
  } else {
    to_host_address(now, write);
  }
  return result;
}

/// Behind check(): R10 is the linear address again.
void Emitter::to_linear_address(const Step& now, bool write) {
  putSeg(gs);
  add(r10, ptr[r11 + at::tlb(tlb_, salted(tag_member(write), salt_of(now)))]);
}

/// Behind check(), with R11 free for other use: R10 is the host address.
void Emitter::to_host_address(const Step& now, bool write) {
  to_linear_address(now, write);
  putSeg(gs);
  add(r10, ptr[r11 + at::tlb(tlb_, salted(offsetof(TlbEntry, delta), salt_of(now)))]);
}

/// R11: from the place of the entry to the distance between host and linear addresses.
void Emitter::load_from_tlb(const Step& now) {
  putSeg(gs);
  mov(r11, ptr[r11 + at::tlb(tlb_, salted(offsetof(TlbEntry, delta), salt_of(now)))]);
}

/// Eight bytes at the guest's RSP + displacement, checked: [R10], R11 is free.
HostMemory Emitter::stack_slot(std::size_t index, std::int32_t displacement, bool write) {
  spoil_flags(index);
  const std::uint32_t site = add_site(step(index));
  tables_.sites[site].retry = here();
  load_guest(r10, x86::kRsp);
  if (displacement != 0) lea(r10, ptr[r10 + disp(displacement)]);
  check(index, site, 8, write, 1);
  to_host_address(step(index), write);
  HostMemory result;
  result.base = x86::kR10;
  return result;
}

}  // namespace vireo::engine::translator
