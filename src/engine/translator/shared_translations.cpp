#include "engine/translator/shared_translations.h"

#include <utility>

namespace vireo::engine::translator {

void SharedTranslations::Shard::forget(Uses::iterator which) {
  const SharedTranslation& gone = **which;
  bytes -= gone.bytes();
  const auto page = pages.find(value(gone.key.start) >> kPageShift);
  if (--page->second.translations == 0) pages.erase(page);
  known.erase(gone.key);
  uses.erase(which);
}

void SharedTranslations::offer(SharedTranslation made) {
  const auto fresh = std::make_shared<const SharedTranslation>(std::move(made));
  const TranslationKey& key = fresh->key;
  Shard& shard = this->shard(key.start);
  const std::scoped_lock lock(shard.mutex);
  Page& page = shard.pages[value(key.start) >> kPageShift];
  ++page.translations;
  page.begins.set(Page::place(key.start));
  if (key.relative) page.tag = key.tag & ~kPageMask;
  if (const auto old = shard.known.find(key); old != shard.known.end()) shard.forget(old->second);
  shard.uses.push_front(fresh);
  shard.known.emplace(key, shard.uses.begin());
  shard.bytes += fresh->bytes();
  while (shard.bytes > max_bytes_ / shards_.size()) shard.forget(std::prev(shard.uses.end()));
}

std::shared_ptr<const SharedTranslation> SharedTranslations::find(const TranslationKey& key) {
  Shard& shard = this->shard(key.start);
  const std::scoped_lock lock(shard.mutex);
  const auto found = shard.known.find(key);
  if (found == shard.known.end()) return nullptr;
  shard.uses.splice(shard.uses.begin(), shard.uses, found->second);
  return *found->second;
}

SharedTranslations::Page SharedTranslations::page(PhysAddr start) {
  Shard& shard = this->shard(start);
  const std::scoped_lock lock(shard.mutex);
  const auto found = shard.pages.find(value(start) >> kPageShift);
  return found != shard.pages.end() ? found->second : Page{};
}

std::size_t SharedTranslations::bytes() {
  std::size_t result = 0;
  for (Shard& each : shards_) {
    const std::scoped_lock lock(each.mutex);
    result += each.bytes;
  }
  return result;
}

}  // namespace vireo::engine::translator
