#include <algorithm>

#include "engine/translator/translation_cache.h"

// What one vCPU takes over from the others, and offers to them.

namespace vireo::engine::translator {
namespace {

/// What is in the part of a page that code was made from.
std::vector<std::uint16_t> within(std::span<const std::uint16_t> offsets,
                                  const CodeSource& source) {
  std::vector<std::uint16_t> result;
  for (const std::uint16_t each : offsets)
    if (each >= source.first && each < source.first + source.bytes.size()) result.push_back(each);
  std::ranges::sort(result);
  return result;
}

}  // namespace

Translation* TranslationCache::adopt(PhysAddr start, Mode mode, std::uint64_t rip) {
  Order order = this->order(start, {}, mode, rip);
  return has_room(order) ? adopt(order) : nullptr;
}

/// Null: there is none, or the bytes are others now, or what is known of its accesses.
Translation* TranslationCache::adopt(Order& order) {
  SharedTranslations* const others = shared_.others();
  const auto found = others != nullptr ? others->find(order.key) : nullptr;
  if (found == nullptr || !read(order)) return nullptr;
  const CodeSource& source = found->source;
  const auto bytes = std::span(order.bytes).subspan(source.first, source.bytes.size());
  const bool same = std::ranges::equal(bytes, source.bytes) &&
                    within(order.page.alone, source) == source.alone &&
                    within(order.page.salted, source) == source.salted;
  if (!same) {
    ++statistics_.refused;
    return nullptr;
  }
  Translation& translation = fresh();
  copy(*found, order.home, code_, tables_, translation);
  enter(order, translation);
  ++statistics_.adopted;
  return &translation;
}

void TranslationCache::offer(const Order& order, const Superblock& block, const Translation& made,
                             SharedTranslations& others) {
  SharedTranslation shared = capture(made, recording_, tables_, code_);
  CodeSource& source = shared.source;
  source.first = block.seen_first;
  source.bytes.assign(order.bytes.begin() + block.seen_first,
                      order.bytes.begin() + block.seen_last + 1);
  source.alone = within(order.page.alone, source);
  source.salted = within(order.page.salted, source);
  others.offer(std::move(shared));
  ++statistics_.offered;
}

}  // namespace vireo::engine::translator
