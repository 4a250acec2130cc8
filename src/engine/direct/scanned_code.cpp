#include "engine/direct/scanned_code.h"

#include <optional>
#include <utility>

namespace vireo::engine::direct {

ScannedCode::ScannedCode(memory::GuestMemory& memory, PendingEvents& events)
    : memory_(memory), events_(events) {
  memory_.add_listener(*this);
}

ScannedCode::~ScannedCode() {
  memory_.remove_listener(*this);
  for (const auto& [number, clean] : known_) memory_.unwatch(PhysAddr{number << kPageShift});
  unwatch_written();
}

void ScannedCode::set_rules(const SensitiveCode::Rules& rules) {
  rules_ = rules;
  code_.reset();
  std::unordered_map<std::uint64_t, std::optional<bool>> before;
  {
    const std::lock_guard lock(mutex_);
    before.swap(known_);
  }
  for (const auto& [number, clean] : before) memory_.unwatch(PhysAddr{number << kPageShift});
}

bool ScannedCode::clean(PhysAddr page, const SensitiveCode::Neighbours& neighbours) {
  const std::uint64_t number = value(page) >> kPageShift;
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(number);
    if (found != known_.end() && found->second) return *found->second;
  }
  const std::byte* const host = memory_.host_page(page);
  if (host == nullptr) return false;
  bool watched = false;
  {
    const std::lock_guard lock(mutex_);
    watched = !known_.try_emplace(number).second;  // a write while it is read is not missed
  }
  if (!watched) memory_.watch(page);
  if (!code_) code_.emplace(rules_);
  const bool clean =
      code_->clean(std::span<const std::byte, kPageSize>(host, kPageSize), neighbours);
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(number);
  if (found == known_.end()) return false;
  const bool final = clean || (!neighbours.before.empty() && !neighbours.after.empty());
  found->second = final ? std::optional(clean) : std::nullopt;
  return clean;
}

template <class Look>
std::optional<std::vector<std::size_t>> ScannedCode::look_at(PhysAddr page, Look look) {
  const std::byte* const host = memory_.host_page(page);
  const auto watched = [&] {
    const std::lock_guard lock(mutex_);
    return known_.contains(value(page) >> kPageShift);
  };
  if (host == nullptr || !code_ || !watched()) return {};
  auto result = look(std::span<const std::byte, kPageSize>(host, kPageSize));
  if (!watched()) return {};  // what was read may have been half of a write
  return result;
}

std::optional<std::vector<std::size_t>> ScannedCode::places(
    PhysAddr page, const SensitiveCode::Neighbours& neighbours, std::size_t most) {
  return look_at(page, [&](auto bytes) { return code_->places(bytes, neighbours, most); });
}

std::optional<std::vector<std::size_t>> ScannedCode::sure_places(
    PhysAddr page, const SensitiveCode::Neighbours& neighbours, std::size_t most) {
  return look_at(page, [&](auto bytes) { return code_->sure_places(bytes, neighbours, most); });
}

void ScannedCode::on_watched_write(PhysAddr address, std::size_t size) {
  if (size == 0) return;
  bool any = false;
  {
    const std::lock_guard lock(mutex_);
    const std::uint64_t last = (value(address) + size - 1) >> kPageShift;
    for (std::uint64_t number = value(address) >> kPageShift; number <= last; ++number) {
      if (known_.erase(number) == 0) continue;
      written_.push_back(PhysAddr{number << kPageShift});
      ++watched_;
      any = true;
    }
  }
  if (any) events_.raise(PendingEvents::kStop);
}

void ScannedCode::unwatch(std::span<const PhysAddr> pages) {
  for (const PhysAddr page : pages) memory_.unwatch(page);
}

void ScannedCode::unwatch_written() {
  if (watched_.load(std::memory_order_relaxed) == 0) return;
  std::vector<PhysAddr> pages;
  {
    const std::lock_guard lock(mutex_);
    const auto watched = std::span(written_).last(watched_.exchange(0));
    pages.assign(watched.begin(), watched.end());
  }
  unwatch(pages);
}

std::vector<PhysAddr> ScannedCode::take_written() {
  std::vector<PhysAddr> result;
  std::size_t watched = 0;
  {
    const std::lock_guard lock(mutex_);
    result.swap(written_);
    watched = watched_.exchange(0);
  }
  unwatch(std::span(result).last(watched));
  return result;
}

}  // namespace vireo::engine::direct
