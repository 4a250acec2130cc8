// What most calls out of translated code end with. Nothing here may touch a vector register: the
// file is compiled without them, and everything that it uses is inlined (a test looks).
#include "engine/software/soft_mmu_fill.h"
#include "engine/translator/translator_vcpu.h"

namespace vireo::engine::translator {

/// The access again, once the TLB knows the page and the code's salt finds it.
const void* TranslatorVcpu::quick_miss(TranslatorCpu* cpu, std::uint32_t number) {
  TranslatorVcpu& self = *cpu->translator;
  const Site& site = self.cache_.tables().sites[number];
  const std::uint64_t linear = cpu->miss_address, in_page = linear & kPageMask;
  if (in_page + site.size > kPageSize || (linear & (site.alignment - 1u)) != 0) return nullptr;
  Tlb& tlb = cpu->tlbs[static_cast<std::size_t>(site.tlb)];
  const TlbEntry& entry = tlb.entry(linear);
  const auto known = [&] {
    return (site.write ? entry.write_tag : entry.read_tag) == linear - in_page;
  };
  if (!known()) {
    if (site.write && self.mmu_.written_slowly(LinearAddr{linear}, site.tlb)) return nullptr;
    if (tlb.comes_back(linear) && self.contest_.note(number)) return nullptr;
    if (!self.mmu_.fill_quickly(LinearAddr{linear}, site.write, site.tlb) || !known())
      return nullptr;
  }
  tlb.copy_to(linear, site.salt);
  ++self.misses_;
  return site.retry;
}

/// The page in which the stack stands now becomes the window, if it is memory that may be written.
const void* TranslatorVcpu::quick_window(TranslatorCpu* cpu, std::uint32_t number) {
  TranslatorVcpu& self = *cpu->translator;
  const Site& site = self.cache_.tables().sites[number];
  const std::uint64_t low = stack_bottom(*cpu, site), page = low & ~kPageMask;
  const auto span = static_cast<std::uint64_t>(site.stack_high - site.stack_low);
  if ((low & kPageMask) + span > kPageSize || !may_be_window(site.from->mode, page)) return nullptr;
  const TlbIndex who = stack_user(site);
  const TlbEntry& entry = cpu->tlbs[static_cast<std::size_t>(who)].entry(low);
  const auto known = [&] { return entry.read_tag == page && entry.write_tag == page; };
  const bool found = known() || (self.mmu_.fill_quickly(LinearAddr{low}, false, who) && known());
  if (!found) return nullptr;
  ++self.window_moves_;
  cpu->rsp = cpu->rsp - cpu->stack_delta + entry.delta;
  cpu->stack_delta = entry.delta;
  cpu->negative_delta = 0 - entry.delta;
  cpu->stack_window = page + entry.delta;
  self.window_filter_.add(page, entry.shift());
  Shortcuts::Window& last = cpu->shortcuts.windows[site.from->mode.user];
  if (last.window != cpu->stack_window) cpu->shortcuts.earlier_windows[site.from->mode.user] = last;
  last = {entry.delta, cpu->negative_delta, cpu->stack_window, cpu->window_epoch};
  return site.resume;
}

/// Code that was made of a page which is known where the target is.
const void* TranslatorVcpu::quick_indirect(TranslatorCpu* cpu, std::uint32_t) {
  TranslatorVcpu& self = *cpu->translator;
  const bool user = cpu->state.cpl() == 3;
  // What branches find is for this mode and no other.
  const Mode& mode = self.branch_mode_[user];
  const std::uint64_t linear = cpu->target;
  const CodePage& page = self.code_pages_[code_page_slot(linear)];
  const bool known = mode.user == user && !mode.narrow && self.holds(page, linear, user) &&
                     page.code != nullptr && page.generation == self.cache_.generation();
  if (!known) return nullptr;
  const PhysAddr start = page.physical + (linear & kPageMask);
  Translation* to = TranslationCache::find(*page.code, start, mode, linear);
  if (to == nullptr) {
    self.nothing_at_ = linear;
    self.prefetch_code(start, linear);
  }
  if (to == nullptr || to->second_page) return nullptr;
  self.cache_.branches().enter(linear, *to, page.global);
  if (to->relative) cpu->code_base = linear - to->tag;
  ++self.indirect_misses_;
  return to->entry_polling;
}

}  // namespace vireo::engine::translator
