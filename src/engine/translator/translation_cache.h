#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/code_listener.h"
#include "engine/software/block_cache.h"
#include "engine/translator/branch_table.h"
#include "engine/translator/code_memory.h"
#include "engine/translator/displaced.h"
#include "engine/translator/emitter.h"
#include "engine/translator/glue.h"
#include "engine/translator/shared_translations.h"
#include "engine/translator/translation.h"

namespace vireo::engine::translator {

/// Translated code of one vCPU, keyed by guest-physical address. Its pages are watched through the
/// BlockCache, which says when bytes are written. Used on the vCPU's thread.
class TranslationCache final : public DerivedCode {
 public:
  TranslationCache(TranslatorCpu& cpu, BlockCache& blocks, memory::GuestMemory& memory,
                   x86::DecodeCache& decoder, CodeMemory code, const SiteCallbacks& callbacks,
                   bool exact_flags, std::shared_ptr<SharedTranslations> shared = nullptr);
  ~TranslationCache() override;

  /// Null: nobody asks.
  void set_listener(std::shared_ptr<CodeListener> listener) { listener_ = std::move(listener); }

  const Glue& glue() const { return glue_; }
  CodeTables& tables() { return tables_; }

  /// What was made of the code of one guest page.
  struct Page {
    std::uint64_t tag = 0;   ///< what stands for its address in relative code
    std::uint32_t home = 0;  ///< its number: see TranslatorCpu::page_home
    /// Of code that runs at one address only: its page is at home nowhere else.
    struct FixedHome {
      std::uint64_t page = 0;  ///< linear address
      std::uint32_t number = 0;
    };
    std::vector<FixedHome> fixed_homes;
    std::array<Translation*, 64> first{};  ///< of a list, by offset and mode
    std::vector<Translation*> all;
    std::vector<std::uint16_t> alone;   ///< instructions that share no look: see access_plan.h
    std::vector<std::uint16_t> salted;  ///< instructions whose superblocks use salts: see Tlb
  };
  /// The page, for find(). Stays where it is until generation() changes. Null: there is none.
  Page* known_page(PhysAddr start);
  /// The same, made if need be. `code_base` is that of code near by, so that both have the same
  /// wherever they are mapped together.
  Page& page(PhysAddr start, std::uint64_t rip, std::optional<std::uint64_t> code_base = {});
  /// Changes when pages and translations have gone for good.
  std::uint64_t generation() const { return generation_; }
  /// The code for `rip`, whose byte is at `start` in the page; null: none was made. Here and below
  /// `rip` is the linear address of the code.
  [[gnu::always_inline]] static Translation* find(const Page& page, PhysAddr start, Mode mode,
                                                  std::uint64_t rip) {
    const bool absolute = mode.narrow || fits32(rip);
    for (Translation* each = page.first[slot(start, mode)]; each != nullptr; each = each->next) {
      if (each->start != start || each->mode != mode) continue;
      if (absolute ? !each->relative && each->tag == rip : each->relative) return each;
    }
    return nullptr;
  }
  Translation* find(PhysAddr start, Mode mode, std::uint64_t rip) {
    return find(page(start, rip), start, mode, rip);
  }
  /// Makes it. Null: the first instruction is not one that can be translated, or memory is full.
  Translation* translate(PhysAddr start, Mode mode, std::uint64_t rip);
  /// Takes over what another vCPU has made. Null: there is none of these bytes.
  Translation* adopt(PhysAddr start, Mode mode, std::uint64_t rip);
  bool shares() const { return shared_.others() != nullptr; }
  /// Whether there may be something for adopt().
  bool may_adopt(PhysAddr start) const {
    SharedTranslations* const others = shared_.others();
    return others != nullptr && others->page(start).may_begin(start);
  }
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

  BranchTable& branches() { return branches_; }

  // DerivedCode
  bool uses_page(std::uint64_t page_number) const override {
    const auto found = pages_.find(page_number);
    return found != pages_.end() && !found->second.all.empty();
  }
  void invalidate(std::uint64_t first, std::uint64_t last) override;
  void flush() override;
  bool nearly_full() const override;
  void trim() override;

  struct Statistics {
    std::uint64_t translations = 0, retired = 0, guest_instructions = 0, flushes = 0, links = 0;
    std::uint64_t nanoseconds = 0;
    std::uint64_t adopted = 0, offered = 0;
    std::uint64_t refused = 0;       ///< made of other bytes than are there now
    std::uint64_t evicted = 0;       ///< gave way to new code
    std::uint64_t longest_trim = 0;  ///< nanoseconds
  };
  const Statistics& statistics() const { return statistics_; }
  std::size_t code_bytes() const { return code_.used(); }

 private:
  /// Room that the longest translation surely fits in.
  static constexpr std::size_t kReserve = 256 << 10;
  /// Room that there is after a trim().
  static constexpr std::size_t kWanted = 2 * kReserve + (256 << 10);
  static std::size_t slot(PhysAddr start, Mode mode) {
    return (value(start) ^ value(start) >> 6 ^ mode.key() << 3) %
           std::tuple_size_v<decltype(Page::first)>;
  }
  std::size_t room() const {
    return std::min(code_.room(CodeMemory::Part::kOften), code_.room(CodeMemory::Part::kSeldom));
  }
  void unlink(std::uint32_t exit);
  void note_page_exit(std::uint32_t exit);
  // translation_cache_trim.cpp
  /// Of a site and an exit.
  struct Numbers {
    std::size_t site = 0, exit = 0;
  };
  struct Made {
    std::unique_ptr<Translation> translation;
    Numbers first;
  };
  Numbers next_numbers() const { return {tables_.sites.size(), tables_.exits.size()}; }
  /// Those before are of code that is gone.
  Numbers oldest_numbers() const { return all_.empty() ? next_numbers() : all_.front().first; }
  std::size_t live_sites() const { return tables_.sites.size() - oldest_numbers().site; }
  bool out_of_numbers() const;
  bool has_spare() const;
  std::size_t spare_homes() const {
    return free_homes_.size() + TranslatorCpu::kHomes - 1 - homes_;
  }
  void evict(Translation& translation);
  void give_back_code();
  void give_back_homes(const Page& page);
  void drop_empty_pages();
  /// What is to be made, and of what.
  struct Order {
    TranslationKey key;
    Page& page;
    std::uint64_t rip = 0;
    std::uint32_t home = 0;  ///< kNobodysHome: there is none left
    bool asks_home = false;
    std::array<std::uint8_t, kPageSize + x86::kMaxInsnLength> bytes;

    Order(const TranslationKey& wanted, Page& of) : key(wanted), page(of) {}
  };
  Translation* make(PhysAddr start, std::optional<PhysAddr> second, Mode mode, std::uint64_t rip);
  Order order(PhysAddr start, std::optional<PhysAddr> second, Mode mode, std::uint64_t rip);
  bool has_room(const Order& order) const;
  bool read(Order& order);
  Translation* translate(const Order& order);
  Translation& fresh();
  void enter(const Order& order, Translation& translation);
  // translation_cache_shared.cpp
  Translation* adopt(Order& order);
  void offer(const Order& order, const Superblock& block, const Translation& made,
             SharedTranslations& others);
  std::uint64_t tag_of_page(PhysAddr start, std::uint64_t rip,
                            std::optional<std::uint64_t> code_base) const;
  void make_anew(const Site& site, std::vector<std::uint16_t> Page::*list);
  void find_live_numbers(Superblock& block, Translation& translation);
  bool stands_for(const Translation& translation, std::uint64_t first, std::uint64_t last) const;
  bool read_page(PhysAddr page, std::span<std::uint8_t> bytes);
  std::uint32_t new_home();
  std::uint32_t fixed_home(Page& page, std::uint64_t rip);
  Page& home_of(const Translation& translation) {
    return pages_[value(translation.start) >> kPageShift];
  }
  void retire(Translation& translation);
  void patch(std::uint8_t* displacement, const std::uint8_t* target);
  void refuse(const std::uint8_t* entry, const std::uint8_t* instead);
  void set_home(const Exit& exit, std::uint32_t home);

  TranslatorCpu& cpu_;
  BlockCache& blocks_;
  memory::GuestMemory& memory_;
  x86::DecodeCache& decoder_;
  CodeMemory code_;
  const bool exact_flags_;
  std::shared_ptr<CodeListener> listener_;
  Glue glue_;
  BranchTable branches_;
  CodeTables tables_;
  Emitter emitter_;
  const SharedTranslations::Member shared_;
  Recording recording_;
  Superblock spare_;  ///< whose memory the next one takes over
  std::unordered_map<std::uint64_t, Page> pages_;
  std::deque<Made> all_;     ///< the oldest first; retired ones too: their code may be running
  std::uint32_t homes_ = 0;  ///< that were given away at least once
  std::vector<std::uint32_t> free_homes_;  ///< of those
  std::vector<std::uint32_t> page_exits_;  ///< to other pages, linked or on a detour
  std::uint64_t generation_ = 0;
  Statistics statistics_;
};

}  // namespace vireo::engine::translator
