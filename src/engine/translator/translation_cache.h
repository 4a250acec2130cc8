#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/code_listener.h"
#include "engine/software/block_cache.h"
#include "engine/translator/code_memory.h"
#include "engine/translator/emitter.h"
#include "engine/translator/glue.h"
#include "engine/translator/translation.h"

namespace vireo::engine::translator {

/// Translated code of one vCPU, keyed by guest-physical address. Its pages are watched through the
/// BlockCache, which says when bytes are written. Used on the vCPU's thread.
class TranslationCache final : public DerivedCode {
 public:
  TranslationCache(TranslatorCpu& cpu, BlockCache& blocks, memory::GuestMemory& memory,
                   x86::DecodeCache& decoder, CodeMemory code, const SiteCallbacks& callbacks,
                   bool exact_flags);
  ~TranslationCache() override;

  /// Null: nobody asks.
  void set_listener(std::shared_ptr<CodeListener> listener) { listener_ = std::move(listener); }

  const Glue& glue() const { return glue_; }
  CodeTables& tables() { return tables_; }

  /// What was made of the code of one guest page.
  struct Page {
    std::uint64_t tag = 0;                 ///< what stands for its address in relative code
    std::array<Translation*, 64> first{};  ///< of a list, by offset and mode
    std::vector<Translation*> all;
    std::vector<std::uint16_t> alone;   ///< instructions that share no look: see access_plan.h
    std::vector<std::uint16_t> salted;  ///< instructions whose superblocks use salts: see Tlb
  };
  /// The page, for find(). Stays where it is until flush(); see flushes().
  Page& page(PhysAddr start, std::uint64_t rip);
  std::uint64_t flushes() const { return statistics_.flushes; }
  /// The code for `rip`, whose byte is at `start` in the page; null: none was made. Here and below
  /// `rip` is the linear address of the code.
  static Translation* find(const Page& page, PhysAddr start, Mode mode, std::uint64_t rip);
  Translation* find(PhysAddr start, Mode mode, std::uint64_t rip) {
    return find(page(start, rip), start, mode, rip);
  }
  /// Makes it. Null: the first instruction is not one that can be translated, or memory is full.
  Translation* translate(PhysAddr start, Mode mode, std::uint64_t rip);
  /// Makes it for one instruction that begins at `start` and ends in the second page.
  Translation* translate_across(PhysAddr start, PhysAddr second_page, Mode mode, std::uint64_t rip);
  /// Takes it away, as a write to its bytes would.
  void discard(Translation& translation);
  /// The code around the site's instruction looks into the TLB with salts from now on. It is made
  /// anew; what runs may go on.
  void salt(const Site& site);
  /// The site's instruction no longer shares its look into the TLB. In the same way.
  void separate(const Site& site);
  /// From now on the exit goes straight to the code.
  void link(std::uint32_t exit, Translation& to);
  /// From now on the exit, to another page, asks the branch table.
  void detour(std::uint32_t exit);
  /// Exits to other pages are what they were when they were made.
  void unlink_pages();

  /// Indirect branches to `rip` find the code, until the mapping changes.
  void enter_branch(std::uint64_t rip, Translation& to, bool global);
  /// What was entered for `rip`; null: nothing that still holds.
  Translation* known_branch(std::uint64_t rip, Mode mode) const;
  void forget_branches(bool global_too);
  /// What branches to a place in an address space find there.
  struct KnownBranch {
    std::uint32_t index = 0;  ///< of the entry in the branch table
    std::uint64_t base = 0;
    Translation* to = nullptr;  ///< valid until flush(); see flushes()
  };
  /// Forgets those that are not global, and adds them to `taken`.
  void take_branches(std::vector<KnownBranch>& taken);
  /// Enters again what was taken, unless the code is gone or its place is.
  void put_back(const KnownBranch& branch);

  // DerivedCode
  bool uses_page(std::uint64_t page_number) const override {
    const auto found = pages_.find(page_number);
    return found != pages_.end() && !found->second.all.empty();
  }
  void invalidate(std::uint64_t first, std::uint64_t last) override;
  void flush() override;
  bool nearly_full() const override;

  struct Statistics {
    std::uint64_t translations = 0, retired = 0, guest_instructions = 0, flushes = 0, links = 0;
    std::uint64_t nanoseconds = 0;
  };
  const Statistics& statistics() const { return statistics_; }
  std::size_t code_bytes() const { return code_.used(); }
  /// How many entries there are to forget.
  std::size_t branches() const { return branches_[0].size() + branches_[1].size(); }

 private:
  static std::size_t slot(PhysAddr start, Mode mode) {
    return (value(start) ^ value(start) >> 6 ^ mode.key() << 3) %
           std::tuple_size_v<decltype(Page::first)>;
  }
  std::size_t room() const {
    return std::min(code_.room(CodeMemory::Part::kOften), code_.room(CodeMemory::Part::kSeldom));
  }
  void forget_branch(std::uint32_t index);
  void set_branch(const KnownBranch& branch, bool global);
  void unlink(std::uint32_t exit);
  void note_page_exit(std::uint32_t exit);
  Translation* make(PhysAddr start, std::optional<PhysAddr> second, Mode mode, std::uint64_t rip);
  void make_anew(const Site& site, std::vector<std::uint16_t> Page::*list);
  bool read_page(PhysAddr page, std::span<std::uint8_t> bytes);
  Page& home_of(const Translation& translation) {
    return pages_[value(translation.start) >> kPageShift];
  }
  void retire(Translation& translation);
  void patch(const Exit& exit, const std::uint8_t* target);

  TranslatorCpu& cpu_;
  BlockCache& blocks_;
  memory::GuestMemory& memory_;
  x86::DecodeCache& decoder_;
  CodeMemory code_;
  const bool exact_flags_;
  std::shared_ptr<CodeListener> listener_;
  Glue glue_;
  CodeTables tables_;
  std::unordered_map<std::uint64_t, Page> pages_;
  std::vector<std::unique_ptr<Translation>> all_;  ///< retired ones too: their code may be running
  /// Entries of the branch table that were made, each once as local, once as global.
  std::array<std::vector<std::uint32_t>, 2> branches_;
  std::array<std::array<bool, 2>, 2 * TranslatorCpu::kBranchEntries> noted_{};  ///< in `branches_`
  std::vector<std::uint32_t> page_exits_;  ///< to other pages, linked or on a detour
  Statistics statistics_;
};

}  // namespace vireo::engine::translator
