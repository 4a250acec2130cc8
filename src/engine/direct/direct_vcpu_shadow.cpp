#include <algorithm>
#include <utility>

#include "engine/direct/direct_vcpu.h"
#include "x86/cpuid/host_features.h"
#include "x86/paging/page_table_entry.h"

// What processes have mapped: the shadow of an address space.

namespace vireo::engine::direct {

/// The page of code there, if one is mapped. It counts as accessed, as if it had been fetched
/// ahead.
std::span<const std::byte> DirectVcpu::code_at(std::uint64_t linear) {
  if (!ShadowSpace::possible(linear)) return {};
  const auto found = mmu_.walk_user(LinearAddr{linear}, x86::Access::kExecute);
  const std::byte* const host = found ? memory_.host_page(found->page) : nullptr;
  if (host == nullptr) return {};
  return {host, kPageSize};
}

SensitiveCode::Neighbours DirectVcpu::neighbours_of(std::uint64_t linear) {
  return {code_at(linear - kPageSize), code_at(linear + kPageSize)};
}

/// What the guest's page tables say of a page that has been accessed; empty: it is not for user
/// code, or not memory.
std::optional<ShadowPage> DirectVcpu::page_for(const Space& space, std::uint64_t linear,
                                               bool executable) {
  constexpr unsigned kLargest = 21;
  const auto found = mmu_.look_up(LinearAddr{linear});
  if (!found || !found->rights.user || found->page_shift > kLargest) return {};
  if ((translated_.state.cr4 & x86::cr4::kPke) != 0 && found->rights.protection_key != 0) return {};
  ShadowPage page;
  page.physical = found->page;
  const bool trapped = space.trapped.has(linear, found->page) && !found->rights.writable;
  page.executable = executable && found->rights.executable &&
                    (trapped || space.guarded.has(linear, found->page) ||
                     scanned_.clean(found->page, neighbours_of(linear)));
  page.trapped = trapped && page.executable;
  if (memory_.host_page(found->page) == nullptr) return {};
  page.writable = found->rights.writable && found->rights.dirty && !page.executable &&
                  mmu_.take_write_permission(found->page);
  return page;
}

/// What code may run natively depends on what the guest's CPU has and has enabled.
void DirectVcpu::take_rules() {
  const x86::CpuState& state = translated_.state;
  const std::uint64_t fsgsbase = state.cr4 & x86::cr4::kFsgsbase;
  const auto bias = context_.clock.host_tsc_bias();
  const bool same_tsc = bias && *bias + state.tsc_offset == 0 && (state.cr4 & x86::cr4::kTsd) == 0;
  if (rules_xcr0_ == state.xcr0 && rules_fsgsbase_ == fsgsbase && rules_same_tsc_ == same_tsc)
    return;
  rules_xcr0_ = state.xcr0;
  rules_fsgsbase_ = fsgsbase;
  rules_same_tsc_ = same_tsc;
  SensitiveCode::Rules rules;
  rules.guest = context_.cpuid.features();
  rules.host = x86::reported_by_host();
  rules.same_xcr0 = x86::host_xcr0() == state.xcr0;
  rules.fsgsbase = fsgsbase != 0;
  rules.same_tsc = same_tsc;
  scanned_.set_rules(rules);
  for (const auto& space : spaces_of_processes_) {
    space->guarded.clear();
    space->trapped.clear();
    space->visits.clear();
    if (space->shadow) space->shadow->remove_all();
  }
}

bool DirectVcpu::ensure_process(Space& space) {
  take_rules();
  if (space.shadow) return true;
  auto process = family_->spawn();
  if (!process) {
    give_up(space);
    return false;
  }
  space.shadow = std::make_unique<ShadowSpace>(std::move(*process), memory_);
  space.guarded.clear();
  space.trapped.clear();
  space.vectors.clear();
  space.visits.clear();
  space.wanted.reset();
  space.stale = false;
  space.suspects.clear();
  map_all(space);
  return true;
}

/// Everything that has been accessed, up to a limit: to ask for it page by page costs more.
void DirectVcpu::map_all(Space& space) {
  constexpr std::size_t kMostPages = 8192;
  constexpr unsigned kTopShift = 39;
  const bool five_levels = (translated_.state.cr4 & x86::cr4::kLa57) != 0;
  std::size_t left = kMostPages;
  map_table(space, PhysAddr{space.root}, five_levels ? kTopShift + 9 : kTopShift, 0, left);
}

void DirectVcpu::map_table(Space& space, PhysAddr table, unsigned shift, std::uint64_t linear,
                           std::size_t& left) {
  constexpr std::uint64_t kUsed = x86::pte::kPresent | x86::pte::kUser | x86::pte::kAccessed;
  constexpr unsigned kLastShift = 12, kLargeShift = 21;
  constexpr std::uint64_t kEntryBytes = 8, kEntries = 512;
  const std::uint64_t entries = std::min(kEntries, (StubProcess::kEnd >> shift) + 1);
  for (std::uint64_t i = 0; i < entries && left != 0; ++i) {
    const std::uint64_t entry = mmu_.read(table + i * kEntryBytes, kEntryBytes);
    if ((entry & kUsed) != kUsed) continue;
    const std::uint64_t here = linear | i << shift;
    const bool large = (entry & x86::pte::kPageSize) != 0 && shift == kLargeShift;
    if (shift != kLastShift && !large) {
      if ((entry & x86::pte::kPageSize) == 0)
        map_table(space, PhysAddr{entry & x86::pte::kAddress}, shift - 9, here, left);
      continue;
    }
    const std::size_t pages = large ? 512 : 1;
    for (std::size_t page = 0; page < pages && left != 0; ++page, --left) {
      const std::uint64_t at = here + page * kPageSize;
      if (!ShadowSpace::possible(at)) continue;
      if (const auto found = page_for(space, at, false)) space.shadow->put(at, *found);
    }
  }
}

void DirectVcpu::bring_up_to_date(Space& space) {
  for (const PhysAddr page : scanned_.take_written())
    for (const auto& each : spaces_of_processes_) {
      each->guarded.remove(page);
      each->trapped.remove(page);
      each->visits.clear();
      if (each->shadow) each->shadow->forbid_execution(page);
    }
  const auto look = [&](std::uint64_t linear, const ShadowPage& page) {
    return page_for(space, linear, page.executable);
  };
  ShadowSpace& shadow = *space.shadow;
  if (std::exchange(space.stale, false)) {
    const std::size_t before = shadow.size();
    shadow.review(look);
    ++reviews_;
    // Another program than was seen to be worth it.
    if (shadow.size() < before / 2) space.policy.pause(now_ns());
  } else {
    for (const std::uint64_t linear : space.suspects) shadow.review_leaf(linear, look);
  }
  space.suspects.clear();
}

/// Pages beside it that have been accessed before.
void DirectVcpu::map_around(Space& space, std::uint64_t linear, bool executable) {
  constexpr std::uint64_t kAround = 16 * kPageSize;
  const std::uint64_t first = linear & ~(kAround - 1);
  for (std::uint64_t at = first; at < first + kAround; at += kPageSize) {
    if (at == linear || !ShadowSpace::possible(at)) continue;
    const auto before = space.shadow->at(at);
    if (before && (!executable || before->executable || before->writable)) continue;
    if (const auto page = page_for(space, at, executable)) space.shadow->put(at, *page);
  }
}

/// The page that the process has faulted at, as the guest's tables have it. False: it is the
/// guest's fault, or nothing that can be mapped.
bool DirectVcpu::resolve(Space& space, std::uint64_t address) {
  const std::uint64_t linear = address & ~kPageMask, rip = translated_.state.rip;
  if (!ShadowSpace::possible(linear)) return false;
  const auto before = space.shadow->at(linear);
  const bool code =
      linear == (rip & ~kPageMask) || linear == ((rip + x86::kMaxInsnLength - 1) & ~kPageMask);
  const bool fetch = code && (!before || !before->executable) &&
                     mmu_.walk_user(LinearAddr{linear}, x86::Access::kExecute).has_value();
  const bool write = before && !fetch;
  if (!fetch) {
    const auto access = write ? x86::Access::kWrite : x86::Access::kRead;
    if (!mmu_.walk_user(LinearAddr{linear}, access)) return false;
  }
  const auto page = page_for(space, linear, fetch);
  if (!page) return false;
  if (fetch && !page->executable) unclean_ = linear;
  space.shadow->put(linear, *page);
  if (page == before || (fetch && !page->executable) || (write && !page->writable)) return false;
  map_around(space, linear, fetch);
  return true;
}

/// Maps what the process could not do without, before it asks again.
void DirectVcpu::map_now(Space& space, std::uint64_t address) {
  const std::uint64_t linear = address & ~kPageMask;
  if (!ShadowSpace::possible(linear)) return;
  const auto before = space.shadow->at(linear);
  if (before && before->executable) return;
  if (const auto page = page_for(space, linear, false)) space.shadow->put(linear, *page);
}

/// Lets the process execute a copy with traps in place of sensitive instructions, of which there
/// are more than a CPU has debug registers. Nobody writes to the page but the guest's kernel, and
/// then there is no copy any more.
void DirectVcpu::trap(Space& space, std::uint64_t linear, PhysAddr page) {
  constexpr std::size_t kMost = 64;
  const auto places = scanned_.sure_places(page, neighbours_of(linear), kMost);
  if (!places) return;
  std::vector<std::uint64_t> traps;
  for (const std::size_t place : *places) traps.push_back(linear + place);
  space.trapped.add(linear, page, std::move(traps));
  space.visits.erase(linear);
  ++traps_;
  if (const auto now = page_for(space, linear, true)) space.shadow->put(linear, *now);
}

/// Lets the process execute a page that is not clean: its sensitive instructions get breakpoints.
void DirectVcpu::guard(Space& space, std::uint64_t linear) {
  space.visits[linear] = kRefused;
  const auto found = mmu_.walk_user(LinearAddr{linear}, x86::Access::kExecute);
  if (!found || !space.shadow) return;
  const auto places =
      scanned_.places(found->page, neighbours_of(linear), StubProcess::kMostBreakpoints);
  if (!places) {
    if (!found->rights.writable) trap(space, linear, found->page);
    return;
  }
  GuardedPages::Page page{linear, found->page, {}};
  for (const std::size_t place : *places) page.breakpoints.push_back(linear + place);
  const auto forbid = [&](const GuardedPages::Page& gone) {
    space.visits.erase(gone.linear);
    if (auto before = space.shadow->at(gone.linear)) {
      before->executable = false;
      space.shadow->put(gone.linear, *before);
    }
  };
  for (const GuardedPages::Page& gone : space.guarded.add(std::move(page))) forbid(gone);
  if (!space.shadow->process().set_breakpoints(space.guarded.breakpoints())) {
    for (const GuardedPages::Page& gone : space.guarded.clear()) forbid(gone);
    space.visits[linear] = kRefused;
    return;
  }
  space.visits.erase(linear);
  ++guards_;
  if (const auto now = page_for(space, linear, true)) space.shadow->put(linear, *now);
}

}  // namespace vireo::engine::direct
