#include "engine/translator/translation_cache.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "engine/translator/access_plan.h"
#include "engine/translator/displaced.h"
#include "engine/translator/superblock.h"

namespace vireo::engine::translator {
namespace {

/// Room that the longest translation surely fits in.
constexpr std::size_t kReserve = 256 << 10;

}  // namespace

TranslationCache::TranslationCache(TranslatorCpu& cpu, BlockCache& blocks,
                                   memory::GuestMemory& memory, x86::DecodeCache& decoder,
                                   CodeMemory code, const SiteCallbacks& callbacks,
                                   bool exact_flags)
    : cpu_(cpu),
      blocks_(blocks),
      memory_(memory),
      decoder_(decoder),
      code_(std::move(code)),
      exact_flags_(exact_flags),
      glue_(Glue::write(code_, callbacks)),
      branches_(cpu, glue_),
      emitter_(code_, glue_, tables_, exact_flags) {
  code_.keep();
  blocks_.set_derived(this);
}

TranslationCache::~TranslationCache() { blocks_.set_derived(nullptr); }

/// Pages that follow each other where they were first seen have tags that follow each other, so
/// that they share a code base.
TranslationCache::Page& TranslationCache::page(PhysAddr start, std::uint64_t rip,
                                               std::optional<std::uint64_t> code_base) {
  constexpr std::uint64_t kTagMask = 0x3fffffff & ~kPageMask;
  const auto [place, fresh] = pages_.try_emplace(value(start) >> kPageShift);
  if (!fresh) return place->second;
  const std::uint64_t near_by = (rip & ~kPageMask) - code_base.value_or(0);
  const bool fits = code_base && (near_by & ~kTagMask) == 0;
  place->second.tag = fits ? near_by : rip & kTagMask;
  place->second.home = new_home();
  if (nearly_full()) cpu_.events.raise(PendingEvents::kStop);  // back to where there is a trim()
  return place->second;
}

/// kNobodysHome: all are given away.
std::uint32_t TranslationCache::new_home() {
  return homes_ + 1 < TranslatorCpu::kHomes ? ++homes_ : TranslatorCpu::kNobodysHome;
}

std::uint32_t TranslationCache::fixed_home(Page& page, std::uint64_t rip) {
  const std::uint64_t linear = rip & ~kPageMask;
  const auto found = std::ranges::find(page.fixed_homes, linear, &Page::FixedHome::page);
  if (found != page.fixed_homes.end()) return found->number;
  page.fixed_homes.push_back({linear, new_home()});
  return page.fixed_homes.back().number;
}

TranslationCache::Page* TranslationCache::known_page(PhysAddr start) {
  const auto found = pages_.find(value(start) >> kPageShift);
  return found != pages_.end() ? &found->second : nullptr;
}

Translation* TranslationCache::translate(PhysAddr start, Mode mode, std::uint64_t rip) {
  return make(start, {}, mode, rip);
}

Translation* TranslationCache::translate_across(PhysAddr start, PhysAddr second_page, Mode mode,
                                                std::uint64_t rip) {
  return make(start, second_page, mode, rip);
}

/// From now on no write to it goes unseen.
bool TranslationCache::read_page(PhysAddr page, std::span<std::uint8_t> bytes) {
  blocks_.watch(page);
  return memory_.read(page, std::as_writable_bytes(bytes));
}

Translation* TranslationCache::make(PhysAddr start, std::optional<PhysAddr> second, Mode mode,
                                    std::uint64_t rip) {
  Page& home = page(start, rip);
  const bool relative = !mode.narrow && !fits32(rip);
  const bool fixed = mode.user && !mode.narrow && !relative;
  const std::uint32_t number = fixed ? fixed_home(home, rip) : home.home;
  if (room() < kReserve || number == TranslatorCpu::kNobodysHome) return nullptr;
  const auto began = std::chrono::steady_clock::now();
  std::array<std::uint8_t, kPageSize + x86::kMaxInsnLength> bytes;
  const std::span code(bytes);
  if (!read_page(PhysAddr{value(start) & ~kPageMask}, code.first(kPageSize))) return nullptr;
  if (second && !read_page(*second, code.subspan(kPageSize))) return nullptr;
  SuperblockReader reader(code, decoder_, exact_flags_);
  const auto offset = static_cast<std::uint16_t>(value(start) & kPageMask);
  const std::uint64_t page_address = rip & ~kPageMask;
  Superblock block = second ? reader.read_across(offset, mode, page_address)
                            : reader.read(offset, mode, page_address, std::move(spare_));
  if (block.steps.empty()) return nullptr;

  all_.push_back(std::make_unique<Translation>());
  Translation& translation = *all_.back();
  translation.start = start;
  translation.home = number;
  translation.asks_home = relative || fixed;
  translation.second_page = second;
  translation.mode = mode;
  translation.relative = relative;
  for (const std::uint16_t each : home.salted) block.salted = block.salted || block.holds(each);
  if (!mode.careful && !mode.narrow) plan_accesses(block, home.alone);
  translation.tag = translation.relative ? home.tag + (rip & kPageMask) : rip;
  emitter_.emit(block, translation);

  if (listener_ != nullptr)
    for (const auto& each : {translation.often(), translation.seldom})
      listener_->code_made(each, rip);

  Translation*& first = home.first[slot(start, mode)];
  translation.next = std::exchange(first, &translation);
  home.all.push_back(&translation);
  if (second) page(*second, rip + kPageSize).all.push_back(&translation);
  spare_ = std::move(block);
  ++statistics_.translations;
  statistics_.guest_instructions += spare_.steps.size();
  statistics_.nanoseconds += static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count());
  if (nearly_full()) cpu_.events.raise(PendingEvents::kStop);  // back to where there is a trim()
  return &translation;
}

void TranslationCache::discard(Translation& translation) {
  std::erase(home_of(translation).all, &translation);
  if (translation.second_page)
    std::erase(pages_[value(*translation.second_page) >> kPageShift].all, &translation);
  retire(translation);
}

/// With the site's instruction in one of its page's lists.
void TranslationCache::make_anew(const Site& site, std::vector<std::uint16_t> Page::*list) {
  Translation& translation = *site.from;
  if (!translation.valid) return;
  std::vector<std::uint16_t>& offsets = home_of(translation).*list;
  const auto offset = static_cast<std::uint16_t>(site.tag & kPageMask);
  if (std::ranges::find(offsets, offset) != offsets.end()) return;
  offsets.push_back(offset);
  discard(translation);
}

void TranslationCache::salt(const Site& site) { make_anew(site, &Page::salted); }

void TranslationCache::separate(const Site& site) { make_anew(site, &Page::alone); }

/// A jump, whose displacement stands at a writable address, to the target.
void TranslationCache::patch(std::uint8_t* displacement, const std::uint8_t* target) {
  const std::uint8_t* behind = code_.executable(displacement + 4);
  const auto distance = static_cast<std::int32_t>(target - behind);
  std::memcpy(displacement, &distance, sizeof(distance));
}

void TranslationCache::set_home(const Exit& exit, std::uint32_t home) {
  const auto place = static_cast<std::uint32_t>(at::page_home(exit.from->mode.user, home));
  std::memcpy(exit.home, &place, sizeof(place));
}

void TranslationCache::link(std::uint32_t number, Translation& to) {
  Exit& exit = tables_.exits[number];
  VIREO_ASSERT(exit.patch != nullptr && exit.to == nullptr);
  exit.to = &to;
  to.incoming.push_back(number);
  const std::uint8_t* entry = exit.flags_saved
                                  ? exit.backward ? to.entry_polling_saved : to.entry_saved
                              : exit.backward ? to.entry_polling
                                              : to.entry;
  if (exit.at_home != nullptr) {
    patch(exit.at_home, entry);
    patch(exit.patch, exit.detour);
    set_home(exit, to.home);
  } else {
    patch(exit.patch, entry);
    if (exit.detour != nullptr) note_page_exit(number);
  }
  ++statistics_.links;
}

void TranslationCache::detour(std::uint32_t number) {
  const Exit& exit = tables_.exits[number];
  patch(exit.patch, exit.detour);
  note_page_exit(number);
}

void TranslationCache::note_page_exit(std::uint32_t number) {
  if (!std::exchange(tables_.exits[number].noted, true)) page_exits_.push_back(number);
}

void TranslationCache::unlink_pages() {
  for (const std::uint32_t number : page_exits_) {
    Exit& exit = tables_.exits[number];
    exit.noted = false;
    if (exit.to != nullptr) std::erase(exit.to->incoming, number);
    unlink(number);
  }
  page_exits_.clear();
}

void TranslationCache::unlink(std::uint32_t number) {
  Exit& exit = tables_.exits[number];
  patch(exit.patch, exit.stub);
  if (exit.home != nullptr) set_home(exit, TranslatorCpu::kNobodysHome);
  exit.to = nullptr;
}

/// From now on the place leads where branches go that find nothing.
void TranslationCache::refuse(const std::uint8_t* entry, const std::uint8_t* instead) {
  constexpr std::uint8_t kJump = 0xe9;
  std::uint8_t* place = code_.writable(entry);
  *place = kJump;
  patch(place + 1, instead);
}

void TranslationCache::retire(Translation& translation) {
  translation.valid = false;
  ++statistics_.retired;
  for (const std::uint32_t number : translation.incoming) unlink(number);
  translation.incoming.clear();
  for (const std::uint32_t number : translation.exits) {
    Exit& exit = tables_.exits[number];
    if (exit.to == nullptr || exit.to == &translation) continue;
    std::erase(exit.to->incoming, number);
    unlink(number);  // it may be running
  }
  Translation** place = &home_of(translation).first[slot(translation.start, translation.mode)];
  while (*place != &translation) place = &(*place)->next;
  *place = translation.next;
  refuse(translation.entry_indirect, glue_.indirect);
  refuse(translation.entry_indirect_saved, glue_.indirect_saved);
}

void TranslationCache::invalidate(std::uint64_t first, std::uint64_t last) {
  std::vector<Translation*> hit;
  for (std::uint64_t page = first >> kPageShift; page <= last >> kPageShift; ++page) {
    const auto found = pages_.find(page);
    if (found == pages_.end()) continue;
    for (Translation* each : found->second.all) {
      const auto touched = [&](std::uint64_t base) {
        return base + each->first <= last && first <= base + each->last;
      };
      const auto is_page = [page](PhysAddr where) { return value(where) >> kPageShift == page; };
      const std::uint64_t base = page << kPageShift;
      if (is_page(each->start) && touched(base))
        hit.push_back(each);
      else if (each->second_page && is_page(*each->second_page) && touched(base - kPageSize))
        hit.push_back(each);
    }
  }
  for (Translation* each : hit)
    if (each->valid) discard(*each);
}

void TranslationCache::flush() {
  ++statistics_.flushes;
  branches_.forget_all();
  homes_ = 0;
  pages_.clear();
  all_.clear();
  tables_.sites.clear();
  tables_.exits.clear();
  page_exits_.clear();
  code_.clear();
}

bool TranslationCache::nearly_full() const {
  constexpr std::size_t kMaxSites = 1u << 20;
  constexpr std::uint32_t kSpareHomes = 64;
  return room() < 2 * kReserve || tables_.sites.size() > kMaxSites ||
         homes_ + kSpareHomes > TranslatorCpu::kHomes;
}

}  // namespace vireo::engine::translator
