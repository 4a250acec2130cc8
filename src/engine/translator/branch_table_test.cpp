#include "engine/translator/branch_table.h"

#include <gtest/gtest.h>

#include "engine/translator/translation_world.h"

namespace vireo::engine::translator {
namespace {

constexpr std::uint64_t kHigh = 0x7f00'0000'0000;
constexpr Mode kUser = test::TranslationWorld::kUser,
               kSupervisor = test::TranslationWorld::kSupervisor;
constexpr std::array kModes{kSupervisor, kUser};

/// Two translations of one page, at low addresses or as code that runs anywhere. At low addresses
/// supervisor code does not ask whether its page is at home.
struct Two : test::TranslationWorld {
  static constexpr std::uint64_t kFirst = 0x5040, kSecond = 0x5020;
  BranchTable& table = cache.branches();
  std::uint64_t base;
  Mode mode;
  Translation *first, *second;

  explicit Two(std::uint64_t where = 0, Mode who = kUser) : base(where), mode(who) {
    const std::uint8_t code[]{0x31, 0xc0, 0xc3};  // xor eax, eax; ret
    write(kFirst, code);
    write(kSecond, code);
    first = translate(kFirst, base + kFirst, mode);
    second = translate(kSecond, base + kSecond, mode);
  }
  std::size_t index(std::uint64_t linear) const {
    return (mode.user ? TranslatorCpu::kBranchEntries : 0) + TranslatorCpu::branch_hash(linear);
  }
  std::uint64_t home_of(const Translation& code) const {
    return cpu->page_home[code.home + (mode.user ? TranslatorCpu::kHomes : 0)];
  }
  std::uint64_t home() const { return home_of(*first); }
  /// Another page whose place in the table, at the first's offset, is the same.
  std::uint64_t rival() {
    std::uint64_t result = base + kFirst;
    do result += kPageSize;
    while (index(result) != index(base + kFirst));
    return result;
  }
};

TEST(BranchTable, FindsWhatWasEnteredUntilItForgets) {
  Two w(0, kSupervisor);
  EXPECT_EQ(w.cpu->branch_code[w.index(w.kFirst)], w.cache.glue().indirect);
  w.table.enter(w.kFirst, *w.first, false);
  w.table.enter(w.kSecond, *w.second, true);
  EXPECT_EQ(w.cpu->branch_code[w.index(w.kFirst)], w.first->entry_indirect);
  EXPECT_EQ(w.cpu->branch_code_saved[w.index(w.kFirst)], w.first->entry_indirect_saved);
  w.table.forget(false);
  EXPECT_EQ(w.cpu->branch_code[w.index(w.kFirst)], w.cache.glue().indirect);
  EXPECT_EQ(w.cpu->branch_code[w.index(w.kSecond)], w.second->entry_indirect);
  w.table.forget(true);
  EXPECT_EQ(w.cpu->branch_code[w.index(w.kSecond)], w.cache.glue().indirect);
}

TEST(BranchTable, WhatIsKnownIsForItsAddressAndModeOnly) {
  for (const std::uint64_t base : {std::uint64_t{0}, kHigh}) {
    Two w(base);
    Mode other = kUser;
    other.avx = false;
    const std::uint64_t linear = base + w.kFirst;
    EXPECT_EQ(w.table.known(linear, kUser), nullptr);
    w.table.enter(linear, *w.first, false);
    EXPECT_EQ(w.table.known(linear, kUser), w.first);
    EXPECT_EQ(w.table.known(linear, other), nullptr);
    EXPECT_EQ(w.table.known(linear, kSupervisor), nullptr);
    EXPECT_EQ(w.table.known(base + w.kSecond, kUser), nullptr);
    EXPECT_EQ(w.table.known(w.rival(), kUser), nullptr);
    w.table.forget(false);
    EXPECT_EQ(w.table.known(linear, kUser), nullptr);
  }
}

TEST(BranchTable, APageIsAtHomeWhereItWasEnteredLast) {
  Two w(kHigh);
  EXPECT_EQ(w.home(), TranslatorCpu::kNowhere);
  w.table.enter(kHigh + w.kFirst, *w.first, false);
  EXPECT_EQ(w.home(), 0 - (kHigh + 0x5000));
  const std::uint64_t elsewhere = kHigh + 0x30000;
  w.table.enter(elsewhere + w.kSecond, *w.second, false);
  EXPECT_EQ(w.home(), 0 - (elsewhere + 0x5000));
  EXPECT_EQ(w.table.known(kHigh + w.kFirst, kUser), nullptr);
  EXPECT_EQ(w.table.known(elsewhere + w.kSecond, kUser), w.second);
  w.table.forget(false);
  EXPECT_EQ(w.home(), TranslatorCpu::kNowhere);
  w.table.settle(kHigh + w.kFirst, *w.first, true);
  w.table.forget(false);
  EXPECT_EQ(w.home(), 0 - (kHigh + 0x5000));
  w.table.forget(true);
  EXPECT_EQ(w.home(), TranslatorCpu::kNowhere);
}

TEST(BranchTable, NobodyIsEverAtNobodysHome) {
  Two w(kHigh);
  Translation homeless;
  homeless.mode = kUser;
  w.table.settle(kHigh + w.kFirst, homeless, false);
  EXPECT_EQ(w.cpu->page_home[TranslatorCpu::kHomes], TranslatorCpu::kNowhere);
}

TEST(BranchTable, BranchesThatFightForAPlaceAreNotedOnce) {
  for (const Mode& mode : kModes) {
    Two w(0, mode);
    const std::uint64_t base = w.base;
    for (int i = 0; i < 10; ++i) {
      w.table.enter(base + w.kFirst, *w.first, true);
      w.table.enter(w.rival(), *w.first, false);
    }
    // Once as global and once as local, or as a hint.
    EXPECT_EQ(w.table.branches(), mode.user ? 1u : 2u);
    w.table.forget(false);
    EXPECT_EQ(w.table.known(w.rival(), mode), nullptr);
    w.table.enter(base + w.kFirst, *w.first, false);
    EXPECT_EQ(w.table.known(base + w.kFirst, mode), w.first);
    w.table.forget_all();
    EXPECT_EQ(w.table.branches(), 0u);
  }
}

TEST(BranchTable, CodeThatAsksForItsHomeStaysAsAHint) {
  for (const std::uint64_t base : {std::uint64_t{0}, kHigh}) {
    Two w(base);
    const std::uint64_t linear = base + w.kFirst;
    w.table.enter(linear, *w.first, false);
    w.table.forget(true);
    EXPECT_EQ(w.table.known(linear, kUser), nullptr);
    EXPECT_EQ(w.table.hint(linear, kUser), w.first);
    EXPECT_EQ(w.cpu->branch_code[w.index(linear)], w.first->entry_indirect);
    w.table.settle(linear, *w.first, false);
    EXPECT_EQ(w.table.known(linear, kUser), w.first);
    w.table.forget_all();
    EXPECT_EQ(w.table.hint(linear, kUser), nullptr);
    EXPECT_EQ(w.cpu->branch_code[w.index(linear)], w.cache.glue().indirect);
  }
}

TEST(BranchTable, CodeOfOneAddressIsAtHomeNowhereElse) {
  Two w;
  constexpr std::uint64_t kElsewhere = 0x30000;
  Translation* moved = w.translate(w.kFirst, kElsewhere + w.kFirst);
  Translation* anywhere = w.translate(w.kFirst, kHigh + w.kFirst);
  w.table.enter(w.kFirst, *w.first, false);
  w.table.forget(true);
  w.table.enter(kElsewhere + w.kFirst, *moved, false);
  w.table.enter(kHigh + w.kFirst, *anywhere, false);
  EXPECT_EQ(w.home(), TranslatorCpu::kNowhere);
  EXPECT_EQ(w.home_of(*moved), 0 - (kElsewhere + 0x5000));
  EXPECT_EQ(w.home_of(*anywhere), 0 - (kHigh + 0x5000));
  EXPECT_EQ(w.home_of(*w.second), w.home());
}

TEST(BranchTable, CodeOnTwoPagesIsNoHint) {
  Two w(kHigh);
  constexpr std::uint64_t kLast = 0x5fff;
  const std::uint8_t code[]{0x31, 0xc0};
  w.write(kLast, code);
  Translation* both =
      w.cache.translate_across(PhysAddr{kLast}, PhysAddr{0x6000}, kUser, kHigh + kLast);
  w.table.enter(kHigh + kLast, *both, false);
  EXPECT_EQ(w.table.known(kHigh + kLast, kUser), both);
  w.table.forget(false);
  w.table.settle(kHigh + w.kFirst, *w.first, false);  // the first page is back; the second?
  EXPECT_EQ(w.table.known(kHigh + kLast, kUser), nullptr);
  EXPECT_EQ(w.cpu->branch_code[w.index(kHigh + kLast)], w.cache.glue().indirect);
}

TEST(BranchTable, WhatWasTakenComesBack) {
  Two w(kHigh);
  BranchTable::Space space;
  w.table.enter(kHigh + w.kFirst, *w.first, false);
  w.table.enter(kHigh + w.kSecond, *w.second, false);
  w.table.take(space);
  EXPECT_EQ(w.table.known(kHigh + w.kFirst, kUser), nullptr);
  EXPECT_EQ(w.home(), TranslatorCpu::kNowhere);
  w.memory->write_value(PhysAddr{w.kSecond}, std::uint8_t{0x90});  // its code is gone
  w.table.put_back(space, kModes);
  EXPECT_EQ(w.table.known(kHigh + w.kFirst, kUser), w.first);
  EXPECT_EQ(w.table.known(kHigh + w.kSecond, kUser), nullptr);
}

TEST(BranchTable, WhatWasTakenDoesNotComeBackForAnotherMode) {
  Two w(0, kSupervisor);
  BranchTable::Space space;
  w.table.enter(w.kFirst, *w.first, false);
  w.table.take(space);
  Mode other = kSupervisor;
  other.avx = false;
  w.table.put_back(space, {other, kUser});
  EXPECT_EQ(w.table.known(w.kFirst, kSupervisor), nullptr);
}

}  // namespace
}  // namespace vireo::engine::translator
