#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/address.h"
#include "engine/direct/stub_process.h"
#include "engine/direct/trapped_pages.h"
#include "memory/guest_memory.h"

namespace vireo::engine::direct {

/// What one page of an address space leads to. Writable and executable exclude each other.
struct ShadowPage {
  PhysAddr physical{};
  bool writable = false, executable = false;
  bool trapped = false;  ///< a copy: see TrappedPages
  bool operator==(const ShadowPage&) const = default;
};

/// The mappings of a process as a shadow of the guest's page tables: what the guest's tables say,
/// as far as it has been asked for, in terms of the host. What changes here changes in the process
/// at the next carry_out(). Addresses are linear, of whole pages.
class ShadowSpace {
 public:
  ShadowSpace(std::unique_ptr<StubProcess> process, const memory::GuestMemory& memory)
      : process_(std::move(process)), memory_(memory) {}

  StubProcess& process() { return *process_; }
  /// Whether a process can have a page there.
  static bool possible(std::uint64_t linear) {
    return linear >= StubProcess::kLowest && linear < StubProcess::kEnd &&
           (linear < StubProcess::kBase || linear >= StubProcess::kBase + StubProcess::kSize);
  }
  std::optional<ShadowPage> at(std::uint64_t linear) const;
  /// The address is possible().
  void put(std::uint64_t linear, const ShadowPage& page);
  void remove(std::uint64_t linear);
  void remove_all();
  /// Takes away the permission to write, or to execute, wherever the physical page is mapped.
  void protect(PhysAddr page);
  void forbid_execution(PhysAddr page);
  std::size_t size() const { return count_; }

  /// Asks for every page: `look(linear, page) -> optional<ShadowPage>` says what it is now.
  template <class Look>
  void review(Look look) {
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, leaf] : leaves_) numbers.push_back(number);
    for (const std::uint64_t number : numbers) review_leaf(number << kLeafShift, look);
  }
  /// The same for the aligned 2 MiB that hold the address.
  template <class Look>
  void review_leaf(std::uint64_t linear, Look look) {
    const auto found = leaves_.find(linear >> kLeafShift);
    if (found == leaves_.end()) return;
    const Leaf& leaf = *found->second;
    for (std::size_t i = 0; i < kEntries; ++i) {
      if (leaf.words[i] == 0) continue;
      const std::uint64_t here = found->first << kLeafShift | i << kPageShift;
      const ShadowPage page = unpack(leaf.words[i]);
      const auto now = look(here, page);
      if (now == page) continue;
      now ? put(here, *now) : remove(here);
    }
  }

  /// Makes the process's mappings the same. False: not all of them could be made, and none can be
  /// relied on.
  bool carry_out(const TrappedPages& trapped);

 private:
  static constexpr std::size_t kEntries = 512;
  static constexpr unsigned kLeafShift = kPageShift + 9;
  /// Packed pages, 0: none.
  struct Leaf {
    std::array<std::uint64_t, kEntries> words{};
  };
  static constexpr std::uint64_t kPresent = 1, kWritable = 2, kExecutable = 4, kTrapped = 8;
  static std::uint64_t pack(const ShadowPage& page) {
    return value(page.physical) | kPresent | (page.writable ? kWritable : 0) |
           (page.executable ? kExecutable : 0) | (page.trapped ? kTrapped : 0);
  }
  static ShadowPage unpack(std::uint64_t word) {
    return {PhysAddr{word & ~kPageMask}, (word & kWritable) != 0, (word & kExecutable) != 0,
            (word & kTrapped) != 0};
  }
  std::uint64_t* word(std::uint64_t linear);
  const std::uint64_t* word(std::uint64_t linear) const;
  template <class Change>
  void change_places(PhysAddr page, Change change);
  StubProcess::Mapping mapping_at(std::uint64_t linear, const TrappedPages& trapped) const;

  std::unique_ptr<StubProcess> process_;
  const memory::GuestMemory& memory_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Leaf>> leaves_;  ///< by address / 2 MiB
  /// Where physical pages are that may be written or executed; some no longer.
  std::unordered_multimap<std::uint64_t, std::uint64_t> places_;
  std::vector<std::uint64_t> changed_;  ///< pages that differ in the process
  std::size_t count_ = 0;
  bool clear_first_ = false;  ///< nothing of what is in the process is known any more
};

}  // namespace vireo::engine::direct
