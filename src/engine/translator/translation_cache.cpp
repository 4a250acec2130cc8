#include "engine/translator/translation_cache.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "engine/translator/access_plan.h"
#include "engine/translator/displaced.h"
#include "engine/translator/superblock.h"
#include "x86/decode/insn_form.h"

namespace vireo::engine::translator {

TranslationCache::TranslationCache(TranslatorCpu& cpu, BlockCache& blocks,
                                   memory::GuestMemory& memory, x86::DecodeCache& decoder,
                                   CodeMemory code, const SiteCallbacks& callbacks,
                                   bool exact_flags, std::shared_ptr<SharedTranslations> shared)
    : cpu_(cpu),
      blocks_(blocks),
      memory_(memory),
      decoder_(decoder),
      code_(std::move(code)),
      exact_flags_(exact_flags),
      glue_(Glue::write(code_, callbacks)),
      branches_(cpu, glue_),
      emitter_(code_, glue_, tables_, exact_flags),
      shared_(std::move(shared)) {
  code_.keep();
  blocks_.set_derived(this);
}

TranslationCache::~TranslationCache() { blocks_.set_derived(nullptr); }

TranslationCache::Page& TranslationCache::page(PhysAddr start, std::uint64_t rip,
                                               std::optional<std::uint64_t> code_base) {
  const auto [place, fresh] = pages_.try_emplace(value(start) >> kPageShift);
  if (!fresh) return place->second;
  place->second.tag = tag_of_page(start, rip, code_base);
  place->second.home = new_home();
  if (nearly_full()) cpu_.events.raise(PendingEvents::kStop);  // back to where there is a trim()
  return place->second;
}

/// kNobodysHome: all are given away.
std::uint32_t TranslationCache::new_home() {
  if (!free_homes_.empty()) {
    const std::uint32_t home = free_homes_.back();
    free_homes_.pop_back();
    return home;
  }
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

/// What the page's address is in relative code. Pages that follow each other where they were first
/// seen have tags that follow each other, so that they share a code base; and what the others have
/// made can be taken over only with their tag.
std::uint64_t TranslationCache::tag_of_page(PhysAddr start, std::uint64_t rip,
                                            std::optional<std::uint64_t> code_base) const {
  constexpr std::uint64_t kTagMask = 0x3fffffff & ~kPageMask;
  const std::uint64_t page = rip & ~kPageMask;
  if (SharedTranslations* const others = shared_.others()) {
    const auto known = others->page(start).tag;
    if (known && page - *known == code_base.value_or(page - *known)) return *known;
  }
  const std::uint64_t near_by = page - code_base.value_or(0);
  return code_base && (near_by & ~kTagMask) == 0 ? near_by : page & kTagMask;
}

/// From now on no write to it goes unseen.
bool TranslationCache::read_page(PhysAddr page, std::span<std::uint8_t> bytes) {
  blocks_.watch(page);
  return memory_.read(page, std::as_writable_bytes(bytes));
}

bool TranslationCache::read(Order& order) {
  const TranslationKey& key = order.key;
  const std::span code(order.bytes);
  return read_page(PhysAddr{value(key.start) & ~kPageMask}, code.first(kPageSize)) &&
         (!key.second_page || read_page(*key.second_page, code.subspan(kPageSize)));
}

TranslationCache::Order TranslationCache::order(PhysAddr start, std::optional<PhysAddr> second,
                                                Mode mode, std::uint64_t rip) {
  Page& home = page(start, rip);
  const bool relative = !mode.narrow && !fits32(rip);
  const bool fixed = mode.user && !mode.narrow && !relative;
  Order result({start, second, mode, relative, relative ? home.tag + (rip & kPageMask) : rip},
               home);
  result.rip = rip;
  result.home = fixed ? fixed_home(home, rip) : home.home;
  result.asks_home = relative || fixed;
  return result;
}

bool TranslationCache::has_room(const Order& order) const {
  return room() >= kReserve && order.home != TranslatorCpu::kNobodysHome;
}

Translation* TranslationCache::make(PhysAddr start, std::optional<PhysAddr> second, Mode mode,
                                    std::uint64_t rip) {
  Order order = this->order(start, second, mode, rip);
  if (!has_room(order)) return nullptr;
  if (Translation* adopted = adopt(order)) return adopted;
  const auto began = std::chrono::steady_clock::now();
  if (!read(order)) return nullptr;
  Translation* made = translate(order);
  if (made == nullptr) return nullptr;
  ++statistics_.translations;
  statistics_.guest_instructions += spare_.steps.size();
  statistics_.nanoseconds += static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count());
  return made;
}

/// Leaves the superblock in `spare_`. Null: the first instruction is not one that can be
/// translated.
Translation* TranslationCache::translate(const Order& order) {
  const TranslationKey& key = order.key;
  SuperblockReader reader(order.bytes, decoder_, exact_flags_);
  const auto offset = static_cast<std::uint16_t>(value(key.start) & kPageMask);
  const std::uint64_t page_address = order.rip & ~kPageMask;
  Superblock block = key.second_page
                         ? reader.read_across(offset, key.mode, page_address)
                         : reader.read(offset, key.mode, page_address, std::move(spare_));
  if (block.steps.empty()) return nullptr;
  Translation& translation = fresh();
  translation.start = key.start;
  translation.home = order.home;
  translation.asks_home = order.asks_home;
  translation.second_page = key.second_page;
  translation.mode = key.mode;
  translation.relative = key.relative;
  translation.tag = key.tag;
  for (const std::uint16_t each : order.page.salted)
    block.salted = block.salted || block.holds(each);
  if (!key.mode.careful && !key.mode.narrow) plan_accesses(block, order.page.alone);
  if (!key.second_page && !key.mode.narrow) find_live_numbers(block, translation);
  // What is written again and again is nobody else's for long.
  SharedTranslations* const others = translation.live_numbers.empty() ? shared_.others() : nullptr;
  emitter_.emit(block, translation, others != nullptr ? &recording_ : nullptr);
  if (others != nullptr) offer(order, block, translation, *others);
  enter(order, translation);
  spare_ = std::move(block);
  return &translation;
}

Translation& TranslationCache::fresh() {
  all_.push_back({std::make_unique<Translation>(), next_numbers()});
  return *all_.back().translation;
}

/// From now on it is found.
void TranslationCache::enter(const Order& order, Translation& translation) {
  if (!translation.second_page) {
    const auto used = std::span(order.bytes)
                          .subspan(translation.first, translation.last - translation.first + 1u);
    translation.made_from.assign(used.begin(), used.end());
  }
  if (listener_ != nullptr)
    for (const auto& each : {translation.often(), translation.seldom})
      listener_->code_made(each, order.rip);
  Translation*& first = order.page.first[slot(translation.start, translation.mode)];
  translation.next = std::exchange(first, &translation);
  order.page.all.push_back(&translation);
  if (const auto second = translation.second_page)
    page(*second, order.rip + kPageSize).all.push_back(&translation);
  if (nearly_full()) cpu_.events.raise(PendingEvents::kStop);  // back to where there is a trim()
}

/// Constants that are written again and again.
void TranslationCache::find_live_numbers(Superblock& block, Translation& translation) {
  const PhysAddr page{value(translation.start) & ~kPageMask};
  const std::byte* host = memory_.host_page(page);
  for (Step& step : block.steps) {
    const x86::Insn& insn = step.insn;
    const bool in_register = x86::loads_constant(insn) && insn.operands[0].number != x86::kRsp;
    if (!in_register || !blocks_.patched_often(page + step.offset)) continue;
    const auto offset = static_cast<std::uint16_t>(step.offset + insn.layout.immediate);
    step.live_immediate = host + offset;
    translation.live_numbers.push_back({offset, insn.layout.immediate_size});
  }
}

/// Whether it is what would be made of these bytes of its page as they are now.
bool TranslationCache::stands_for(const Translation& translation, std::uint64_t first,
                                  std::uint64_t last) const {
  if (translation.made_from.empty()) return false;
  const PhysAddr page{value(translation.start) & ~kPageMask};
  const std::uint64_t from = std::max(first, value(page) + translation.first);
  const std::uint64_t to = std::min(last, value(page) + translation.last);
  std::array<std::uint8_t, kPageSize> bytes;
  const auto now = std::span(bytes).first(to - from + 1);
  if (!memory_.read(PhysAddr{from}, std::as_writable_bytes(now))) return false;
  const auto offset = static_cast<std::uint16_t>(from & kPageMask);
  const auto is_live = [&](std::size_t at) {
    return std::ranges::any_of(translation.live_numbers, [at](const auto& number) {
      return at - number.offset < number.size;
    });
  };
  for (std::size_t i = 0; i < now.size(); ++i)
    if (now[i] != translation.made_from[offset + i - translation.first] && !is_live(offset + i))
      return false;
  return true;
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
      if (is_page(each->start) && touched(base)) {
        if (!stands_for(*each, first, last)) hit.push_back(each);
      } else if (each->second_page && is_page(*each->second_page) && touched(base - kPageSize)) {
        hit.push_back(each);
      }
    }
  }
  for (Translation* each : hit)
    if (each->valid) discard(*each);
}

void TranslationCache::flush() {
  ++statistics_.flushes;
  ++generation_;
  branches_.forget_all();
  homes_ = 0;
  free_homes_.clear();
  pages_.clear();
  all_.clear();
  tables_.sites.clear();
  tables_.exits.clear();
  page_exits_.clear();
  code_.clear();
}

}  // namespace vireo::engine::translator
