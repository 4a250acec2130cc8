#include "engine/translator/translation_cache.h"

#include <gtest/gtest.h>

#include <cstring>

#include "engine/translator/translation_world.h"

namespace vireo::engine::translator {
namespace {

using test::TranslationWorld;

constexpr std::uint64_t kPage = 0x5000, kUpper = 0xffffffff80000000;

/// Two blocks of a page: the first ends with a jump back to the second, the second with one that
/// goes through a register.
struct Linked : TranslationWorld {
  static constexpr std::uint64_t kFirst = kPage + 0x40, kSecond = kPage + 0x20;
  Translation *first, *second;

  explicit Linked(std::uint64_t base = 0) {
    const std::uint8_t back[]{0x31, 0xc0, 0xeb, 0xdc};    // xor eax, eax; jmp kSecond
    const std::uint8_t onward[]{0x31, 0xc9, 0xff, 0xe0};  // xor ecx, ecx; jmp rax
    write(kFirst, back);
    write(kSecond, onward);
    first = translate(kFirst, base + kFirst);
    second = translate(kSecond, base + kSecond);
  }
  /// The exit of the first block that can be linked.
  std::uint32_t exit() {
    for (const std::uint32_t number : first->exits)
      if (cache.tables().exits[number].patch != nullptr) return number;
    ADD_FAILURE() << "no exit";
    return 0;
  }
  Exit& exit_entry() { return cache.tables().exits[exit()]; }
  std::int32_t distance() {
    std::int32_t result = 0;
    std::memcpy(&result, exit_entry().patch, 4);
    return result;
  }
};

TEST(TranslationCache, FindsByAddressModeAndRip) {
  Linked w;
  ASSERT_NE(w.first, nullptr);
  EXPECT_EQ(w.find(w.kFirst, w.kFirst), w.first);
  EXPECT_EQ(w.find(w.kSecond, w.kSecond), w.second);
  EXPECT_EQ(w.find(w.kFirst + 1, w.kFirst + 1), nullptr);
  EXPECT_EQ(w.find(w.kFirst, w.kFirst, TranslationWorld::kSupervisor), nullptr);
}

TEST(TranslationCache, CodeAtLowAddressesIsForOneAddress) {
  Linked w;
  EXPECT_FALSE(w.first->relative);
  EXPECT_EQ(w.find(w.kFirst, 0x100000 + w.kFirst), nullptr);
  Translation* other = w.translate(w.kFirst, 0x100000 + w.kFirst);
  EXPECT_EQ(w.find(w.kFirst, 0x100000 + w.kFirst), other);
  EXPECT_EQ(w.find(w.kFirst, w.kFirst), w.first);
}

TEST(TranslationCache, CodeAtHighAddressesRunsAnywhere) {
  Linked w(0x7f00'0000'0000);
  EXPECT_TRUE(w.first->relative);
  EXPECT_EQ(w.find(w.kFirst, 0x7e12'3456'7000 + w.kFirst), w.first);
  EXPECT_EQ(w.find(w.kFirst, w.kFirst), nullptr);
  EXPECT_EQ(w.second->tag - w.first->tag, w.kSecond - w.kFirst);
}

TEST(TranslationCache, TheTopOfTheAddressSpaceFitsInSignedNumbers) {
  Linked w(kUpper);
  EXPECT_FALSE(w.first->relative);
  EXPECT_EQ(w.first->tag, kUpper + w.kFirst);
}

TEST(TranslationCache, WhatIsNoInstructionIsNotTranslated) {
  TranslationWorld w;
  const std::uint8_t invalid[]{0x06};
  w.write(kPage, invalid);
  EXPECT_EQ(w.translate(kPage, kPage), nullptr);
  EXPECT_EQ(w.find(kPage, kPage), nullptr);
}

TEST(TranslationCache, AnExitLeadsToItsStubUntilItIsLinked) {
  Linked w;
  const std::int32_t unlinked = w.distance();
  const Exit& exit = w.exit_entry();
  EXPECT_EQ(exit.tag, w.kSecond);
  EXPECT_TRUE(exit.backward);
  w.cache.link(w.exit(), *w.second);
  EXPECT_EQ(exit.to, w.second);
  // From the stub to the entry that looks for events, as it leads backward.
  EXPECT_EQ(w.distance() - unlinked, w.second->entry_polling - exit.stub);
}

TEST(TranslationCache, AWriteToTheTargetUnlinks) {
  Linked w;
  const std::int32_t unlinked = w.distance();
  w.cache.link(w.exit(), *w.second);
  ASSERT_NE(w.distance(), unlinked);
  w.memory->write_value(PhysAddr{w.kSecond + 1}, std::uint8_t{0x90});
  EXPECT_FALSE(w.second->valid);
  EXPECT_EQ(w.find(w.kSecond, w.kSecond), nullptr);
  EXPECT_EQ(w.distance(), unlinked);
  EXPECT_EQ(w.exit_entry().to, nullptr);
  EXPECT_TRUE(w.first->valid);
}

TEST(TranslationCache, AWriteToTheSourceUnlinksItsOwnExits) {
  Linked w;
  const std::int32_t unlinked = w.distance();
  w.cache.link(w.exit(), *w.second);
  w.memory->write_value(PhysAddr{w.kFirst}, std::uint8_t{0x90});
  EXPECT_FALSE(w.first->valid);
  EXPECT_EQ(w.distance(), unlinked);
  EXPECT_TRUE(w.second->incoming.empty());
  EXPECT_TRUE(w.second->valid);
}

TEST(TranslationCache, AWriteBetweenBlocksRetiresNone) {
  Linked w;
  w.memory->write_value(PhysAddr{w.kSecond + 4}, std::uint8_t{0x90});
  w.memory->write_value(PhysAddr{w.kFirst - 1}, std::uint8_t{0x90});
  EXPECT_TRUE(w.first->valid);
  EXPECT_TRUE(w.second->valid);
  EXPECT_EQ(w.cache.statistics().retired, 0u);
}

TEST(TranslationCache, ARetiredBlockCanBeMadeAnew) {
  Linked w;
  w.memory->write_value(PhysAddr{w.kSecond}, std::uint8_t{0x29});
  Translation* again = w.translate(w.kSecond, w.kSecond);
  EXPECT_NE(again, w.second);
  EXPECT_EQ(w.find(w.kSecond, w.kSecond), again);
  w.cache.link(w.exit(), *again);
  EXPECT_EQ(w.exit_entry().to, again);
}

TEST(TranslationCache, RetiringOneOfSeveralAtAnAddressKeepsTheOthers) {
  Linked w;
  Translation* other = w.translate(w.kFirst, 0x100000 + w.kFirst);
  Translation* supervisor = w.translate(w.kFirst, w.kFirst, TranslationWorld::kSupervisor);
  ASSERT_TRUE(other != nullptr && supervisor != nullptr);
  w.memory->write_value(PhysAddr{w.kFirst}, std::uint8_t{0x90});
  EXPECT_FALSE(w.first->valid || other->valid || supervisor->valid);
  EXPECT_EQ(w.find(w.kFirst, w.kFirst), nullptr);
  EXPECT_EQ(w.cache.statistics().retired, 3u);
}

/// Where the jump at the place leads.
const std::uint8_t* jump_target(const std::uint8_t* place) {
  EXPECT_EQ(*place, 0xe9);
  std::int32_t distance = 0;
  std::memcpy(&distance, place + 1, sizeof(distance));
  return place + 5 + distance;
}

TEST(TranslationCache, WhatIsRetiredTurnsBranchesAway) {
  Linked w;
  w.cache.branches().enter(w.kFirst, *w.first, true);
  w.memory->write_value(PhysAddr{w.kFirst}, std::uint8_t{0x90});
  EXPECT_EQ(jump_target(w.first->entry_indirect), w.cache.glue().indirect);
  EXPECT_EQ(jump_target(w.first->entry_indirect_saved), w.cache.glue().indirect_saved);
  EXPECT_EQ(w.cache.branches().known(w.kFirst, TranslationWorld::kUser), nullptr);
}

TEST(TranslationCache, PagesNearEachOtherShareACodeBase) {
  TranslationWorld w;
  constexpr std::uint64_t kBase = 0x7f12'4000'0000, kOther = 0x7e00'0000'0000;
  const auto& first = w.cache.page(PhysAddr{0x5000}, kBase + 0x5123);
  EXPECT_EQ(first.tag, 0x5000u);
  // The one behind it, first seen in another address space.
  const auto& second = w.cache.page(PhysAddr{0x9000}, kOther + 0x6000, kOther);
  EXPECT_EQ(second.tag, 0x6000u);
  EXPECT_EQ(&w.cache.page(PhysAddr{0x9000}, kBase, kBase), &second);
  EXPECT_EQ(second.tag, 0x6000u);
  // Too far away for a distance in 32 bits.
  const auto& far = w.cache.page(PhysAddr{0xa000}, kOther + 0x7000, kBase);
  EXPECT_EQ(far.tag, 0x7000u);
  EXPECT_NE(first.home, second.home);
  EXPECT_NE(second.home, TranslatorCpu::kNobodysHome);
}

TEST(TranslationCache, AFlushForgetsEverything) {
  Linked w;
  const std::size_t empty = TranslationWorld().cache.code_bytes();
  w.cache.link(w.exit(), *w.second);
  w.cache.branches().enter(w.kFirst, *w.first, true);
  w.blocks.flush();
  EXPECT_EQ(w.find(w.kFirst, w.kFirst), nullptr);
  EXPECT_EQ(w.cache.branches().known(w.kFirst, TranslationWorld::kUser), nullptr);
  EXPECT_TRUE(w.cache.tables().exits.empty());
  EXPECT_TRUE(w.cache.tables().sites.empty());
  EXPECT_EQ(w.cache.code_bytes(), empty);
  EXPECT_NE(w.translate(w.kFirst, w.kFirst), nullptr);
}

TEST(TranslationCache, ThePageIsWatchedWhileItIsUsed) {
  Linked w;
  EXPECT_TRUE(w.memory->watched(PhysAddr{kPage}));
  EXPECT_TRUE(w.cache.uses_page(kPage >> kPageShift));
  EXPECT_FALSE(w.cache.uses_page((kPage >> kPageShift) + 1));
  w.memory->write_value(PhysAddr{w.kFirst}, std::uint8_t{0x90});
  w.memory->write_value(PhysAddr{w.kSecond}, std::uint8_t{0x90});
  EXPECT_FALSE(w.cache.uses_page(kPage >> kPageShift));
}

TEST(TranslationCache, AListenerIsToldWhereCodeIs) {
  struct Listener final : CodeListener {
    std::span<const std::uint8_t> code, seldom;
    std::uint64_t rip = 0;
    void code_made(std::span<const std::uint8_t> made, std::uint64_t at) override {
      if (code.empty())
        code = made;
      else
        seldom = made;
      rip = at;
    }
  };
  TranslationWorld w;
  const auto listener = std::make_shared<Listener>();
  w.cache.set_listener(listener);
  const std::uint8_t code[]{0x31, 0xc0, 0xc3};
  w.write(kPage, code);
  const Translation* translation = w.translate(kPage, kUpper + kPage);
  EXPECT_EQ(listener->rip, kUpper + kPage);
  EXPECT_EQ(listener->code.data(), translation->begin);
  EXPECT_EQ(listener->code.size(), translation->code_bytes);
  EXPECT_EQ(listener->seldom.data(), translation->seldom.data());
}

/// Blocks that jump to themselves, one after the other in many pages, for less memory than usual.
struct Crowded : TranslationWorld {
  using Bytes = std::vector<std::uint8_t>;

  Crowded() : TranslationWorld(false, nullptr, 4 << 20) {}

  static constexpr std::uint64_t address(std::uint64_t number) {
    return 0x1000 + number % 500 * kPageSize + number / 500 * 32;
  }
  Translation* add(std::uint64_t number) {
    Bytes code;
    for (int i = 0; i < 3; ++i) code.insert(code.end(), {0x48, 0x03, 0x06});  // add rax, [rsi]
    code.insert(code.end(), {0xeb, 0xf5});                                    // jmp
    write(address(number), code);
    return translate(address(number), address(number));
  }
  std::uint64_t fill() {
    while (!cache.nearly_full()) last = add(count++);
    return count - 1;
  }
  std::uint64_t count = 0;
  Translation* last = nullptr;
};

TEST(TranslationCache, TheOldestGivesWay) {
  Crowded w;
  Translation* const first = w.add(w.count++);
  w.cache.branches().enter(w.address(0), *first, true);
  const std::uint64_t newest = w.fill();
  w.cache.branches().enter(w.address(newest), *w.last, true);
  ASSERT_GT(newest, 500u);
  const auto self = [&w](const Translation& of) {
    for (const std::uint32_t number : of.exits)
      if (w.cache.tables().exits[number].patch != nullptr) return number;
    return ~0u;
  };
  w.cache.link(self(*first), *w.last);
  const Exit& exit = w.cache.tables().exits[self(*w.last)];
  const auto distance = [&exit] {
    std::int32_t result = 0;
    std::memcpy(&result, exit.patch, sizeof(result));
    return result;
  };
  const std::int32_t unlinked = distance();
  w.cache.link(self(*w.last), *first);
  EXPECT_NE(distance(), unlinked);
  const std::uint64_t generation = w.cache.generation();
  w.blocks.trim();
  EXPECT_EQ(w.find(w.address(0), w.address(0)), nullptr);
  EXPECT_EQ(w.cache.branches().known(w.address(0), TranslationWorld::kUser), nullptr);
  EXPECT_EQ(w.find(w.address(newest), w.address(newest)), w.last);
  EXPECT_EQ(w.cache.branches().known(w.address(newest), TranslationWorld::kUser), w.last);
  EXPECT_TRUE(w.last->incoming.empty());
  EXPECT_EQ(exit.to, nullptr);
  EXPECT_EQ(distance(), unlinked);
  EXPECT_NE(w.cache.generation(), generation);
  EXPECT_EQ(w.cache.statistics().flushes, 0u);
  EXPECT_GT(w.cache.statistics().evicted, 0u);
  EXPECT_LT(w.cache.statistics().evicted, newest);
}

TEST(TranslationCache, RoomAndHomesComeBackForEver) {
  Crowded w;
  for (int round = 0; round < 20; ++round) {
    const std::uint64_t newest = w.fill();
    w.blocks.trim();
    ASSERT_FALSE(w.cache.nearly_full());
    ASSERT_EQ(w.find(w.address(newest), w.address(newest)), w.last);
    ASSERT_LE(w.cache.code_bytes(), 8u << 20);
  }
  EXPECT_EQ(w.cache.statistics().flushes, 0u);
  // Pages of which nothing is made any more, far more than there are homes for.
  for (std::uint64_t page = 0; page < 3 * TranslatorCpu::kHomes; ++page) {
    EXPECT_NE(w.cache.page(PhysAddr{page << kPageShift}, page << kPageShift).home,
              TranslatorCpu::kNobodysHome);
    w.blocks.trim();
  }
  EXPECT_EQ(w.cache.statistics().flushes, 0u);
}

TEST(TranslationCache, ItSaysWhenItIsNearlyFull) {
  Crowded w;
  EXPECT_FALSE(w.cache.nearly_full());
  w.fill();
  EXPECT_TRUE(w.blocks.full());
  // The vCPU is told to go where there is a trim().
  EXPECT_NE(w.cpu->events.take() & PendingEvents::kStop, 0u);
  w.blocks.trim();
  EXPECT_FALSE(w.cache.nearly_full());
}

}  // namespace
}  // namespace vireo::engine::translator
