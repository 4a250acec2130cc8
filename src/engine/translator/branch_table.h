#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
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
  void enter(std::uint64_t linear, Translation& to, bool global);
  /// The code's page is where the address says.
  void settle(std::uint64_t linear, const Translation& code, bool global);
  /// What was entered for the address; null: nothing that still holds.
  Translation* known(std::uint64_t linear, Mode mode) const;
  /// The same whose page may be elsewhere by now.
  Translation* hint(std::uint64_t linear, Mode mode) const;
  /// What mappings say, or only what those say that are not global.
  void forget(bool global_too);
  /// Hints too.
  void forget_all();

  /// What is known in one address space. Its translations are valid until
  /// TranslationCache::flush().
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
    void note(std::uint32_t place, bool global) {
      if (!std::exchange(noted_[place][global], true)) places_[global].push_back(place);
    }
    const std::vector<std::uint32_t>& local() const { return places_[0]; }
    template <class Each>
    void forget(bool global_too, const Each& each) {
      for (const bool global : {false, true}) {
        if (global && !global_too) continue;
        for (const std::uint32_t place : places_[global]) {
          each(place);
          noted_[place][global] = false;
        }
        places_[global].clear();
      }
    }
    std::size_t size() const { return places_[0].size() + places_[1].size(); }

   private:
    std::array<std::vector<std::uint32_t>, 2> places_;
    std::array<std::array<bool, 2>, kPlaces> noted_{};
  };

  void set_branch(std::uint32_t index, Translation& to, bool global);
  void forget_branch(std::uint32_t index);

  TranslatorCpu& cpu_;
  const Glue& glue_;
  Written<2 * TranslatorCpu::kBranchEntries> branches_;
  Written<2 * TranslatorCpu::kHomes> homes_;
  Written<2 * TranslatorCpu::kBranchEntries> hints_;
};

}  // namespace vireo::engine::translator
