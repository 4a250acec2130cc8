#include <algorithm>
#include <chrono>

#include "engine/translator/translation_cache.h"

// What gives way when there is no more room: the oldest translations, as many as make room for new
// ones for a while. What is still wanted of them is made anew when it has become warm again.

namespace vireo::engine::translator {
namespace {

constexpr std::size_t kMaxSites = 1u << 20;
constexpr std::size_t kSpareHomes = 64;
/// Numbers of sites and exits are not used again before all is flushed.
constexpr std::size_t kMaxNumber = 1u << 28;
/// Many enough that it does not happen all the time, and few enough that nobody notices.
constexpr std::size_t kSitesAfterwards = 1u << 15, kHomesAfterwards = 512;

}  // namespace

bool TranslationCache::out_of_numbers() const {
  return std::max(tables_.sites.size(), tables_.exits.size()) > kMaxNumber;
}

bool TranslationCache::nearly_full() const {
  return room() < 2 * kReserve || live_sites() > kMaxSites || spare_homes() < kSpareHomes ||
         out_of_numbers();
}

bool TranslationCache::has_spare() const {
  return room() >= kWanted && live_sites() <= kMaxSites - kSitesAfterwards &&
         spare_homes() >= kSpareHomes + kHomesAfterwards;
}

void TranslationCache::trim() {
  constexpr std::size_t kAtOnce = 64;
  if (out_of_numbers()) return flush();
  const auto began = std::chrono::steady_clock::now();
  if (spare_homes() < kSpareHomes + kHomesAfterwards) drop_empty_pages();
  std::vector<std::unique_ptr<Translation>> gone;
  while (!has_spare() && !all_.empty()) {
    for (std::size_t i = 0; i < kAtOnce && !all_.empty(); ++i) {
      evict(*all_.front().translation);
      gone.push_back(std::move(all_.front().translation));
      all_.pop_front();
    }
    give_back_code();
  }
  const Numbers oldest = oldest_numbers();
  std::erase_if(page_exits_, [oldest](std::uint32_t number) { return number < oldest.exit; });
  branches_.forget_retired();
  tables_.sites.forget_before(oldest.site);
  tables_.exits.forget_before(oldest.exit);
  ++generation_;
  statistics_.evicted += gone.size();
  const auto took = std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count();
  statistics_.longest_trim = std::max(statistics_.longest_trim, static_cast<std::uint64_t>(took));
}

/// Nothing finds it or leads to it from now on, but for the branch table.
void TranslationCache::evict(Translation& translation) {
  if (!translation.valid) return;
  discard(translation);
  const auto drop_if_empty = [this](PhysAddr where) {
    const auto found = pages_.find(value(where) >> kPageShift);
    if (found == pages_.end() || !found->second.all.empty()) return;
    give_back_homes(found->second);
    pages_.erase(found);
  };
  drop_if_empty(translation.start);
  if (translation.second_page) drop_if_empty(*translation.second_page);
}

void TranslationCache::give_back_code() {
  const auto oldest = [this](const auto& code_of) -> const std::uint8_t* {
    for (const Made& each : all_)
      if (const auto code = code_of(*each.translation); !code.empty()) return code.data();
    return nullptr;
  };
  code_.give_back(CodeMemory::Part::kOften,
                  oldest([](const Translation& each) { return each.often(); }), kWanted);
  code_.give_back(CodeMemory::Part::kSeldom,
                  oldest([](const Translation& each) { return each.seldom; }), kWanted);
}

/// Nobody asks for them: no code of the page is left.
void TranslationCache::give_back_homes(const Page& page) {
  const auto give_back = [this](std::uint32_t home) {
    if (home == TranslatorCpu::kNobodysHome) return;
    cpu_.page_home[home] = cpu_.page_home[home + TranslatorCpu::kHomes] = TranslatorCpu::kNowhere;
    free_homes_.push_back(home);
  };
  give_back(page.home);
  for (const Page::FixedHome& each : page.fixed_homes) give_back(each.number);
}

/// Those that somebody asked for, but nothing was made of.
void TranslationCache::drop_empty_pages() {
  std::erase_if(pages_, [this](const auto& page) {
    if (!page.second.all.empty()) return false;
    give_back_homes(page.second);
    return true;
  });
}

}  // namespace vireo::engine::translator
