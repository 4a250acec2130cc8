#include "engine/direct/shadow_space.h"

#include <algorithm>
#include <iterator>

namespace vireo::engine::direct {
const std::uint64_t* ShadowSpace::word(std::uint64_t linear) const {
  const auto leaf = leaves_.find(linear >> kLeafShift);
  if (leaf == leaves_.end()) return nullptr;
  return &leaf->second->words[(linear >> kPageShift) % kEntries];
}

std::uint64_t* ShadowSpace::word(std::uint64_t linear) {
  auto& leaf = leaves_[linear >> kLeafShift];
  if (!leaf) leaf = std::make_unique<Leaf>();
  return &leaf->words[(linear >> kPageShift) % kEntries];
}

std::optional<ShadowPage> ShadowSpace::at(std::uint64_t linear) const {
  const std::uint64_t* found = std::as_const(*this).word(linear);
  if (found == nullptr || *found == 0) return {};
  return unpack(*found);
}

void ShadowSpace::put(std::uint64_t linear, const ShadowPage& page) {
  std::uint64_t* const here = word(linear);
  const std::uint64_t before = *here, now = pack(page);
  if (before == now) return;
  *here = now;
  count_ += before == 0;
  changed_.push_back(linear);
  if (page.writable || page.executable) places_.emplace(value(page.physical) >> kPageShift, linear);
}

void ShadowSpace::remove(std::uint64_t linear) {
  std::uint64_t* const here = word(linear);
  if (*here == 0) return;
  *here = 0;
  --count_;
  changed_.push_back(linear);
}

void ShadowSpace::remove_all() {
  leaves_.clear();
  places_.clear();
  changed_.clear();
  count_ = 0;
  clear_first_ = true;
}

template <class Change>
void ShadowSpace::change_places(PhysAddr page, Change change) {
  const auto [first, last] = places_.equal_range(value(page) >> kPageShift);
  for (auto place = first; place != last;) {
    const std::uint64_t linear = place->second;
    auto now = at(linear);
    if (now && value(now->physical) >> kPageShift == value(page) >> kPageShift) {
      const ShadowPage before = *now;
      now = change(before);
      *word(linear) = pack(*now);
      if (now != before) changed_.push_back(linear);
    } else {
      now.reset();
    }
    const bool still = now && (now->writable || now->executable);
    place = still ? std::next(place) : places_.erase(place);
  }
}

void ShadowSpace::protect(PhysAddr page) {
  change_places(page, [](ShadowPage now) {
    now.writable = false;
    return now;
  });
}

void ShadowSpace::forbid_execution(PhysAddr page) {
  change_places(page, [](ShadowPage now) {
    now.executable = now.trapped = false;
    return now;
  });
}

StubProcess::Mapping ShadowSpace::mapping_at(std::uint64_t linear,
                                             const TrappedPages& trapped) const {
  StubProcess::Mapping result{linear, kPageSize};
  const auto page = at(linear);
  const auto offset = page ? memory_.file_offset(page->physical) : std::nullopt;
  if (!offset) return result;
  result.offset = *offset;
  result.present = true;
  result.writable = page->writable;
  result.executable = page->executable;
  if (!page->trapped) return result;
  result.traps = trapped.traps(linear, page->physical);
  result.executable = !result.traps.empty();
  return result;
}

bool ShadowSpace::carry_out(const TrappedPages& trapped) {
  std::vector<StubProcess::Mapping> mappings;
  if (std::exchange(clear_first_, false)) {
    constexpr auto kNothing = StubProcess::nothing();
    mappings.assign(kNothing.begin(), kNothing.end());
  }
  std::ranges::sort(changed_);
  changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
  for (const std::uint64_t linear : changed_) {
    const StubProcess::Mapping one = mapping_at(linear, trapped);
    if (!mappings.empty()) {
      StubProcess::Mapping& last = mappings.back();
      const bool alike = last.present == one.present && last.writable == one.writable &&
                         last.executable == one.executable && last.traps.empty() &&
                         one.traps.empty();
      const bool follows = last.address + last.size == one.address;
      if (alike && follows && (!one.present || last.offset + last.size == one.offset)) {
        last.size += kPageSize;
        continue;
      }
    }
    mappings.push_back(one);
  }
  changed_.clear();
  return mappings.empty() || process_->map(mappings);
}

}  // namespace vireo::engine::direct
