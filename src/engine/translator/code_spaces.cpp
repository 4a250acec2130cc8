#include "engine/translator/code_spaces.h"

#include <algorithm>

namespace vireo::engine::translator {

CodeSpaces::Space* CodeSpaces::find(std::uint16_t pcid) {
  const auto found = std::ranges::find_if(
      spaces_, [pcid](const Space& space) { return space.pcid == pcid && space.number != 0; });
  return found != spaces_.end() ? &*found : nullptr;
}

void CodeSpaces::change(TranslationCache& cache, std::uint16_t from, std::uint16_t to, bool keep,
                        const std::array<Mode, 2>& modes) {
  Space* left = find(from);
  if (left == nullptr) {
    const auto free = std::ranges::find(spaces_, 0u, &Space::number);
    left = free != spaces_.end() ? &*free : &spaces_[next_++ % kSpaces];
  }
  left->pcid = from;
  left->number = current_;
  left->generation = cache.generation();
  cache.branches().take(left->known);
  Space* entered = find(to);
  if (entered == nullptr || !keep) {
    forget(to);
    return renew();
  }
  current_ = entered->number;
  entered->number = 0;
  if (entered->generation == cache.generation()) cache.branches().put_back(entered->known, modes);
}

void CodeSpaces::forget(std::uint16_t pcid) {
  if (Space* space = find(pcid)) space->number = 0;
}

void CodeSpaces::forget_all() {
  for (Space& space : spaces_) space.number = 0;
  renew();
}

}  // namespace vireo::engine::translator
