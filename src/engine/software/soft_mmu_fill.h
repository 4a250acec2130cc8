#pragma once
#include "engine/software/soft_mmu.h"
#include "x86/paging/quick_walk.h"
#include "x86/semantics/operands.h"

// How pages come into the translation caches. All is inlined, so that the answer to a miss of
// translated code, which must not touch vector registers, needs no other function.

namespace vireo::engine {

/// TlbEntry's.
[[gnu::always_inline]] inline std::uint64_t size_bits(const x86::Translation& translation) {
  if (translation.page_shift == kPageShift) return 0;
  return translation.page_shift > PageFilter::kLarge ? TlbEntry::kHuge : TlbEntry::kLarge;
}

[[gnu::always_inline]] inline bool SoftMmu::walk_quickly(LinearAddr address, x86::Access access,
                                                         x86::Translation& translation) const {
  return x86::quick_walk(
      mode_, value(address), access == x86::Access::kWrite,
      [this](PhysAddr table) { return memory_.host_page(table); }, translation);
}

[[gnu::always_inline]] inline void SoftMmu::remember(LinearAddr address,
                                                     const x86::Translation& translation,
                                                     x86::Access access, TlbIndex who) {
  ++cpu_.counters.tlb_misses;
  if (who == TlbIndex::kAlignmentChecked) return;
  std::byte* host = memory_.host_page(translation.page);
  if (host == nullptr) return;
  const std::uint64_t linear = value(address) & ~kPageMask;
  x86::WalkRequest request{LinearAddr{linear}, x86::Access::kRead, who == TlbIndex::kUser,
                           who == TlbIndex::kSmapSuspended};
  TlbEntry entry;
  entry.read_tag = permitted(mode_, translation.rights, request) ? linear : Tlb::no_tag(linear);
  request.access = x86::Access::kWrite;
  const bool allowed = (access == x86::Access::kWrite || translation.rights.dirty) &&
                       permitted(mode_, translation.rights, request);
  const bool directly = allowed && take_write_permission(translation.page);
  entry.write_tag = directly ? linear : Tlb::no_tag(linear);
  // SAFETY: an address is made from the pointer; it becomes one again in load() and store().
  entry.delta = reinterpret_cast<std::uint64_t>(host) - linear;
  entry.physical = value(translation.page) | (translation.global ? TlbEntry::kGlobal : 0) |
                   (allowed && !directly ? TlbEntry::kWritableSlowly : 0);
  entry.physical |= size_bits(translation);
  table(who).fill(linear, entry);
}

[[gnu::always_inline]] inline bool SoftMmu::fill_quickly(LinearAddr address, bool write,
                                                         TlbIndex who) {
  const x86::Access access = write ? x86::Access::kWrite : x86::Access::kRead;
  const x86::WalkRequest request{address, access, who == TlbIndex::kUser,
                                 who == TlbIndex::kSmapSuspended};
  x86::Translation translation;
  if (!x86::canonical(cpu_.state, value(address))) return false;
  if (!walk_quickly(address, access, translation)) return false;
  if (!permitted(mode_, translation.rights, request)) return false;
  remember(address, translation, access, who);
  return true;
}

}  // namespace vireo::engine
