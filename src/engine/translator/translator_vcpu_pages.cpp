#include "engine/translator/translator_vcpu.h"
#include "x86/semantics/operands.h"

// Where code is: from linear addresses to pages and translations, as long as mappings stand.

namespace vireo::engine::translator {

TranslatorVcpu::CodePage* TranslatorVcpu::code_page(std::uint64_t linear) {
  const x86::CpuState& state = translated_.state;
  if (!x86::canonical(state, linear)) return nullptr;
  const bool user = state.cpl() == 3;
  CodePage& page = code_pages_[code_page_slot(linear)];
  if (holds(page, linear, user)) return &page;
  const auto translation = mmu_.walk_code(LinearAddr{linear});
  if (!translation) return nullptr;
  page = {(linear & ~kPageMask) | (user ? 1u : 0u),
          translation->page,
          translation->global,
          spaces_.current(),
          nullptr,
          0};
  const unsigned shift = translation->page_shift == kPageShift          ? PageFilter::kSmall
                         : translation->page_shift > PageFilter::kLarge ? PageFilter::kHuge
                                                                        : PageFilter::kLarge;
  code_set_.add(linear, shift);
  return &page;
}

/// The base of relative code that is mapped near the address; empty: none is known.
std::optional<std::uint64_t> TranslatorVcpu::base_near(std::uint64_t linear) const {
  constexpr std::uint64_t kNear = 4 << 20;
  std::uint64_t nearest = kNear;
  std::optional<std::uint64_t> result;
  for (const CodePage& page : code_pages_) {
    if (page.code == nullptr || page.generation != cache_.generation()) continue;
    if (page.linear == ~0ull || (!page.global && page.space != spaces_.current())) continue;
    const std::uint64_t there = page.linear & ~kPageMask;
    const std::uint64_t distance = there < linear ? linear - there : there - linear;
    if (distance >= nearest) continue;
    nearest = distance;
    result = there - page.code->tag;
  }
  return result;
}

Translation* TranslatorVcpu::find(std::uint64_t linear, Mode mode) {
  CodePage* page = code_page(linear);
  if (page == nullptr) return nullptr;
  if (page->code == nullptr || page->generation != cache_.generation()) {
    page->code = cache_.known_page(page->physical);
    if (page->code == nullptr) page->code = &cache_.page(page->physical, linear, base_near(linear));
    page->generation = cache_.generation();
  }
  Translation* found =
      TranslationCache::find(*page->code, page->physical + (linear & kPageMask), mode, linear);
  if (found == nullptr || !found->second_page) return found;
  const CodePage* second = code_page(next_page(linear, mode));
  if (second == nullptr) return nullptr;
  if (second->physical == *found->second_page) return found;
  cache_.discard(*found);  // its end is mapped elsewhere now
  return nullptr;
}

/// Null: it cannot be made.
Translation* TranslatorVcpu::make(std::uint64_t linear, Mode mode) {
  const CodePage* page = code_page(linear);
  if (page == nullptr) return nullptr;
  const PhysAddr start = page->physical + (linear & kPageMask);
  if (Translation* made = cache_.translate(start, mode, linear)) return made;
  if ((linear & kPageMask) + x86::kMaxInsnLength <= kPageSize) return nullptr;
  const CodePage* second = code_page(next_page(linear, mode));
  return second != nullptr ? cache_.translate_across(start, second->physical, mode, linear)
                           : nullptr;
}

Translation* TranslatorVcpu::find_or_make(std::uint64_t linear, Mode mode) {
  Translation* known = find(linear, mode);
  return known != nullptr ? known : make(linear, mode);
}

/// The page of the instruction and, if it ends in another, of that are global.
bool TranslatorVcpu::is_global(std::uint64_t linear, const Translation& code) {
  const CodePage* page = code_page(linear);
  const CodePage* second = code.second_page ? code_page(next_page(linear, code.mode)) : page;
  return page != nullptr && page->global && second != nullptr && second->global;
}

/// What branches found at the address before the mapping changed, if its page is there again.
Translation* TranslatorVcpu::still_there(std::uint64_t linear, Mode mode) {
  Translation* hint = cache_.branches().hint(linear, mode);
  if (hint == nullptr || hint->second_page) return nullptr;
  const CodePage* page = code_page(linear);
  if (page == nullptr || page->physical + (linear & kPageMask) != hint->start) return nullptr;
  cache_.branches().settle(linear, *hint, page->global);
  return hint;
}

/// The same, by the table that indirect branches use: it may be that nothing need be looked up.
Translation* TranslatorVcpu::find_entry(std::uint64_t linear, Mode mode) {
  if (Translation* known = cache_.branches().known(linear, mode)) return known;
  if (Translation* known = still_there(linear, mode)) return known;
  Translation* found = find(linear, mode);
  if (found != nullptr) cache_.branches().enter(linear, *found, is_global(linear, *found));
  return found;
}

void TranslatorVcpu::mappings_flushed(x86::TlbFlush kind) {
  cache_.branches().forget(kind == x86::TlbFlush::kAll);
  switch (kind) {
    case x86::TlbFlush::kNonGlobal:
      return spaces_.renew();
    case x86::TlbFlush::kAnyPcid:
      return spaces_.forget_all();
    case x86::TlbFlush::kAll:
      return forget_code_pages();
  }
}

void TranslatorVcpu::address_space_changed(std::uint16_t from, std::uint16_t to, bool keep) {
  spaces_.change(cache_, from, to, keep, branch_mode_);
}

/// Nothing is known of any page of code in any address space.
void TranslatorVcpu::forget_code_pages() {
  for (CodePage& page : code_pages_) page.linear = ~0ull;
  cache_.unlink_pages();
  spaces_.forget_all();
  code_set_.clear();
}

void TranslatorVcpu::page_invalidated(std::uint64_t linear) {
  translated_.segment_slots.keep_what_holds(translated_.tlbs);
  if (window_filter_.may_hold(linear)) {
    translated_.close_window();
    translated_.leave_block = true;
    window_filter_.clear();
  }
  if (!code_set_.holds(linear)) return;
  translated_.leave_block = true;
  cache_.branches().forget(true);
  forget_code_pages();
}

/// The exit leads to the code at the address: straight from now on, if that is sure to hold until
/// the exit hears of it. Where it leads to another page it is so for global pages, and where it
/// looks whether the page is at home.
void TranslatorVcpu::link(std::uint32_t number, Translation& to, std::uint64_t linear) {
  const Exit& exit = cache_.tables().exits[number];
  if (exit.patch == nullptr || exit.to != nullptr || !exit.from->valid) return;
  const bool same_page = value(to.start) >> kPageShift == value(exit.from->start) >> kPageShift;
  const bool there = to.tag == exit.tag && !to.second_page;
  if (exit.detour == nullptr) {
    if (there && same_page) cache_.link(number, to);
    return;
  }
  const bool global = is_global(linear, to);
  const bool holds = there && (global || exit.at_home != nullptr);
  if (holds && exit.at_home != nullptr) cache_.branches().settle(linear, to, global);
  holds ? cache_.link(number, to) : cache_.detour(number);
}

}  // namespace vireo::engine::translator
