#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/translator/glue.h"
#include "engine/translator/translation.h"
#include "engine/translator/translator_cpu.h"

namespace vireo::engine::translator {

/// What TranslatorCpu holds for branches: the code of addresses, and where pages of code are at
/// home, as long as mappings stand. Code that may run anywhere asks for the home of its page before
/// it goes on, so that it stays in the table as a hint. Addresses are linear. One vCPU, its thread.
class BranchTable {
 public:
  BranchTable(TranslatorCpu& cpu, const Glue& glue);

  /// Branches to the address find the code, which runs there.
  [[gnu::always_inline]] void enter(std::uint64_t linear, Translation& to, bool global) {
    set_branch(index_of(linear, to.mode.user), to, global);
    settle(linear, to, global);
  }
  /// The code's page is where the address says.
  [[gnu::always_inline]] void settle(std::uint64_t linear, const Translation& code, bool global) {
    if (code.home == TranslatorCpu::kNobodysHome) return;
    const std::uint32_t home = home_of(code);
    cpu_.page_home[home] = negated_page(linear);
    homes_.note(home, global);
  }
  /// What was entered for the address; null: nothing that still holds.
  Translation* known(std::uint64_t linear, Mode mode) const;
  /// The same whose page may be elsewhere by now.
  Translation* hint(std::uint64_t linear, Mode mode) const;
  /// What mappings say, or only what those say that are not global.
  void forget(bool global_too);
  /// Hints too.
  void forget_all();
  /// What leads to code that is not valid any more.
  void forget_retired();

  /// What is known in one address space. Its translations are there until
  /// TranslationCache::generation() changes.
  struct Space {
    struct Branch {
      std::uint32_t index = 0;
      Translation* to = nullptr;
    };
    struct Home {
      std::uint32_t index = 0;
      std::uint64_t where = 0;
    };
    std::vector<Branch> branches;
    std::vector<Home> homes;
  };
  /// Forgets what is not global, and puts it into `space` instead of what is there.
  void take(Space& space);
  /// Enters again what was taken, unless the code is gone or its place is, or it is for others than
  /// the modes, of supervisor and user.
  void put_back(const Space& space, const std::array<Mode, 2>& modes);

  /// How many entries there are to forget.
  std::size_t branches() const { return branches_.size() + hints_.size(); }

 private:
  /// Places of a table that were written, each once as local and once as global however often they
  /// change hands.
  template <std::size_t kPlaces>
  class Written {
   public:
    [[gnu::always_inline]] void note(std::uint32_t place, bool global) {
      if (!std::exchange(noted_[place][global], true)) places_[global][count_[global]++] = place;
    }
    std::span<const std::uint32_t> local() const { return {places_[0].get(), count_[0]}; }
    template <class Each>
    void forget(bool global_too, const Each& each) {
      for (const bool global : {false, true}) {
        if (global && !global_too) continue;
        for (std::size_t i = 0; i < count_[global]; ++i) {
          const std::uint32_t place = places_[global][i];
          each(place);
          noted_[place][global] = false;
        }
        count_[global] = 0;
      }
    }
    std::size_t size() const { return count_[0] + count_[1]; }

   private:
    static std::unique_ptr<std::uint32_t[]> none() {
      return std::make_unique_for_overwrite<std::uint32_t[]>(kPlaces);
    }
    std::array<std::unique_ptr<std::uint32_t[]>, 2> places_{none(), none()};
    std::array<std::size_t, 2> count_{};
    std::array<std::array<bool, 2>, kPlaces> noted_{};
  };

  static std::uint32_t index_of(std::uint64_t linear, bool user) {
    return static_cast<std::uint32_t>(TranslatorCpu::branch_hash(linear) +
                                      (user ? TranslatorCpu::kBranchEntries : 0));
  }
  static std::uint32_t home_of(const Translation& code) {
    return static_cast<std::uint32_t>(code.home + (code.mode.user ? TranslatorCpu::kHomes : 0));
  }
  /// What is behind the page is known to nobody when it comes back.
  static bool may_stay(const Translation& code) { return code.asks_home && !code.second_page; }
  static std::uint64_t negated_page(std::uint64_t linear) { return 0 - (linear & ~kPageMask); }
  [[gnu::always_inline]] void set_branch(std::uint32_t index, Translation& to, bool global) {
    cpu_.branch_code[index] = to.entry_indirect;
    cpu_.branch_code_saved[index] = to.entry_indirect_saved;
    cpu_.branch_to[index] = &to;
    may_stay(to) ? hints_.note(index, false) : branches_.note(index, global);
  }
  void forget_branch(std::uint32_t index);

  TranslatorCpu& cpu_;
  const Glue& glue_;
  Written<2 * TranslatorCpu::kBranchEntries> branches_;
  Written<2 * TranslatorCpu::kHomes> homes_;
  Written<2 * TranslatorCpu::kBranchEntries> hints_;
};

}  // namespace vireo::engine::translator
