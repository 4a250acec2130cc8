#include "engine/translator/shared_translations.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "engine/software/vcpu_world.h"
#include "engine/translator/translation_world.h"
#include "engine/translator/translator.h"

namespace vireo::engine::translator {
namespace {

using test::TranslationWorld;

constexpr std::uint64_t kPage = 0x5000, kHigh = 0x7f00'0000'0000;

SharedTranslation with(std::uint64_t start, std::size_t bytes = 100, std::uint8_t first = 0) {
  SharedTranslation result;
  result.key = {.start = PhysAddr{start}, .tag = start};
  result.often.assign(bytes, first);
  return result;
}

TEST(SharedTranslations, FindsByAllOfTheKey) {
  SharedTranslations all;
  all.offer(with(kPage));
  const TranslationKey key{.start = PhysAddr{kPage}, .tag = kPage};
  ASSERT_NE(all.find(key), nullptr);
  TranslationKey other = key;
  other.start = PhysAddr{kPage + 1};
  EXPECT_EQ(all.find(other), nullptr);
  other = key;
  other.tag += 1;
  EXPECT_EQ(all.find(other), nullptr);
  other = key;
  other.relative = true;
  EXPECT_EQ(all.find(other), nullptr);
  other = key;
  other.mode.user = true;
  EXPECT_EQ(all.find(other), nullptr);
  other = key;
  other.second_page = PhysAddr{0x9000};
  EXPECT_EQ(all.find(other), nullptr);
}

TEST(SharedTranslations, APageSaysWhereCodeMayBegin) {
  SharedTranslations all;
  EXPECT_FALSE(all.page(PhysAddr{kPage}).may_begin(PhysAddr{kPage + 0x45}));
  all.offer(with(kPage + 0x45));
  EXPECT_TRUE(all.page(PhysAddr{kPage}).may_begin(PhysAddr{kPage + 0x45}));
  EXPECT_FALSE(all.page(PhysAddr{kPage}).may_begin(PhysAddr{kPage + 0x55}));
  EXPECT_FALSE(all.page(PhysAddr{kPage + kPageSize}).may_begin(PhysAddr{kPage + 0x1045}));
}

TEST(SharedTranslations, KeepsOneOfAKeyTheLast) {
  SharedTranslations all;
  all.offer(with(kPage, 100, 1));
  const std::size_t one = all.bytes();
  all.offer(with(kPage, 100, 2));
  EXPECT_EQ(all.bytes(), one);
  EXPECT_EQ(all.page(PhysAddr{kPage}).translations, 1u);
  EXPECT_EQ(all.find(with(kPage).key)->often[0], 2);
}

TEST(SharedTranslations, ForgetWhatWasNotUsedForLongest) {
  const std::size_t one = with(kPage).bytes();
  SharedTranslations all(16 * 3 * one);  // three in each sixteenth
  for (std::uint64_t i = 0; i < 3; ++i) all.offer(with(kPage + i));
  ASSERT_NE(all.find(with(kPage).key), nullptr);
  all.offer(with(kPage + 3));
  EXPECT_NE(all.find(with(kPage).key), nullptr);
  EXPECT_EQ(all.find(with(kPage + 1).key), nullptr);
  EXPECT_EQ(all.page(PhysAddr{kPage}).translations, 3u);
  EXPECT_LE(all.bytes(), 16 * 3 * one);
}

TEST(SharedTranslations, WhatIsLargerThanAllIsNotKept) {
  SharedTranslations all(1000);
  all.offer(with(kPage));
  EXPECT_EQ(all.bytes(), 0u);
  EXPECT_EQ(all.page(PhysAddr{kPage}).translations, 0u);
}

TEST(SharedTranslations, AMemberOnItsOwnSharesNothing) {
  const auto all = std::make_shared<SharedTranslations>();
  const SharedTranslations::Member first(all), nobody(nullptr);
  EXPECT_EQ(first.others(), nullptr);
  EXPECT_EQ(nobody.others(), nullptr);
  {
    const SharedTranslations::Member second(all);
    EXPECT_EQ(first.others(), all.get());
  }
  EXPECT_EQ(first.others(), nullptr);
}

TEST(SharedTranslations, ManyThreadsMayOfferAndFind) {
  SharedTranslations all(256 * with(kPage).bytes());
  std::atomic<unsigned> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (unsigned id = 0; id < 4; ++id)
      threads.emplace_back([&, id] {
        for (unsigned i = 0; i < 5000; ++i) {
          const std::uint64_t start = kPage + (i * 7919 + id) % 512 * 256;
          all.offer(with(start, 100, static_cast<std::uint8_t>(start >> 8)));
          const auto found = all.find(with(start ^ 0x100).key);
          const auto expected = static_cast<std::uint8_t>((start ^ 0x100) >> 8);
          if (found != nullptr && found->often[0] != expected) ++wrong;
        }
      });
  }
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(all.bytes(), 0u);
  EXPECT_LE(all.bytes(), 256 * with(kPage).bytes());
}

/// Two vCPUs, each with memory of its own that holds the same.
struct Two {
  std::shared_ptr<SharedTranslations> shared = std::make_shared<SharedTranslations>();
  TranslationWorld first{false, shared}, second{false, shared};

  void write(std::uint64_t address, std::vector<std::uint8_t> code) {
    first.write(address, code);
    second.write(address, code);
  }
  std::uint64_t adopted() const { return second.cache.statistics().adopted; }
  std::uint64_t refused() const { return second.cache.statistics().refused; }
};

const std::vector<std::uint8_t> kCode{0x48, 0x8b, 0x03,  // mov rax, [rbx]
                                      0x31, 0xc9,        // xor ecx, ecx
                                      0xff, 0xe0};       // jmp rax

TEST(Adoption, TakesWhatAnotherMade) {
  Two w;
  w.write(kPage, kCode);
  w.first.translate(kPage, kPage);
  EXPECT_EQ(w.first.cache.statistics().offered, 1u);
  Translation* adopted = w.second.translate(kPage, kPage);
  ASSERT_NE(adopted, nullptr);
  EXPECT_EQ(w.adopted(), 1u);
  EXPECT_EQ(w.second.cache.statistics().translations, 0u);
  EXPECT_EQ(w.second.cache.statistics().offered, 0u);
  EXPECT_EQ(w.second.find(kPage, kPage), adopted);
}

TEST(Adoption, AsksForTheSameModeAndAddress) {
  Two w;
  w.write(kPage, kCode);
  w.first.translate(kPage, kPage);
  w.second.translate(kPage, kPage, TranslationWorld::kSupervisor);
  w.second.translate(kPage, kPage + 0x10000);
  EXPECT_EQ(w.adopted(), 0u);
  EXPECT_EQ(w.refused(), 0u);
}

TEST(Adoption, RelativeCodeIsTakenWhereverItIsMapped) {
  Two w;
  w.write(kPage, kCode);
  const Translation* made = w.first.translate(kPage, kHigh + kPage);
  const Translation* adopted = w.second.translate(kPage, kHigh + 0x123'4567'8000);
  ASSERT_NE(adopted, nullptr);
  EXPECT_EQ(w.adopted(), 1u);
  EXPECT_EQ(adopted->tag, made->tag);
}

TEST(Adoption, APageBesideOthersKeepsTheirCodeBase) {
  Two w;
  w.write(kPage, kCode);
  w.first.translate(kPage, kHigh + kPage);
  const std::uint64_t base = kHigh - 0x200000;
  const auto& page = w.second.cache.page(PhysAddr{kPage}, kHigh + kPage, base);
  EXPECT_EQ(kHigh + kPage - page.tag, base);
  w.second.translate(kPage, kHigh + kPage);
  EXPECT_EQ(w.adopted(), 0u);
}

TEST(Adoption, RefusesWhatWasMadeOfOtherBytes) {
  Two w;
  w.write(kPage, kCode);
  w.first.translate(kPage, kPage);
  w.second.memory->write_value(PhysAddr{kPage + 3}, std::uint8_t{0x33});
  ASSERT_NE(w.second.translate(kPage, kPage), nullptr);
  EXPECT_EQ(w.adopted(), 0u);
  EXPECT_EQ(w.refused(), 1u);
  // What it made instead is the one that others find.
  w.first.cache.flush();
  w.first.memory->write_value(PhysAddr{kPage + 3}, std::uint8_t{0x33});
  w.first.translate(kPage, kPage);
  EXPECT_EQ(w.first.cache.statistics().adopted, 1u);
}

/// CMP's flags are dead as long as what the jump leads to overwrites them all.
TEST(Adoption, BytesBehindTheCodeCountIfTheyDecidedAboutFlags) {
  Two w;
  w.write(kPage, {0x31, 0xc0, 0xc3});                                        // xor eax, eax; ret
  w.write(kPage + 0x100, {0x48, 0x39, 0xd8, 0xe9, 0xf8, 0xfe, 0xff, 0xff});  // cmp rax, rbx; jmp
  w.first.translate(kPage + 0x100, kPage + 0x100);
  w.second.memory->write_value(PhysAddr{kPage}, std::uint16_t{0x9090});
  w.second.translate(kPage + 0x100, kPage + 0x100);
  EXPECT_EQ(w.adopted(), 0u);
  EXPECT_EQ(w.refused(), 1u);
}

TEST(Adoption, AWriteToWhatWasTakenRetiresIt) {
  Two w;
  w.write(kPage, kCode);
  w.first.translate(kPage, kPage);
  const Translation* adopted = w.second.translate(kPage, kPage);
  w.second.memory->write_value(PhysAddr{kPage + 4}, std::uint8_t{0xd2});
  EXPECT_FALSE(adopted->valid);
  EXPECT_EQ(w.second.find(kPage, kPage), nullptr);
}

TEST(Adoption, CodeWithSaltsIsForWhoWantsThem) {
  Two w;
  w.write(kPage, kCode);
  Translation* plain = w.first.translate(kPage, kPage);
  const auto site = [&](Translation* of) -> const Site& {
    for (std::size_t i = 0;; ++i)
      if (const Site& each = w.first.cache.tables().sites[i]; each.from == of && each.retry)
        return each;
  };
  w.first.cache.salt(site(plain));
  w.first.translate(kPage, kPage);
  w.second.translate(kPage, kPage);
  EXPECT_EQ(w.adopted(), 0u);
  EXPECT_EQ(w.refused(), 1u);
}

TEST(Adoption, AnExitOfWhatWasTakenIsLinkedAsAnyOther) {
  Two w;
  w.write(kPage + 0x20, {0x31, 0xc9, 0xff, 0xe0});  // xor ecx, ecx; jmp rax
  w.write(kPage + 0x40, {0x31, 0xc0, 0xeb, 0xdc});  // xor eax, eax; jmp kPage + 0x20
  for (TranslationWorld* each : {&w.first, &w.second})
    for (const std::uint64_t offset : {0x20u, 0x40u})
      each->translate(kPage + offset, kPage + offset);
  ASSERT_EQ(w.adopted(), 2u);
  Translation* to = w.second.find(kPage + 0x20, kPage + 0x20);
  for (const std::uint32_t number : w.second.find(kPage + 0x40, kPage + 0x40)->exits) {
    Exit& exit = w.second.cache.tables().exits[number];
    if (exit.patch == nullptr) continue;
    const auto distance = [&] {
      std::int32_t result = 0;
      std::memcpy(&result, exit.patch, sizeof(result));
      return result;
    };
    const std::int32_t unlinked = distance();
    w.second.cache.link(number, *to);
    EXPECT_EQ(distance() - unlinked, to->entry_polling - exit.stub);
    return;
  }
  FAIL() << "no exit";
}

/// A vCPU that runs code which another has run takes it over when it comes to it, cold as it is.
TEST(Adoption, CodeNeedNotBecomeWarm) {
  const auto shared = std::make_shared<SharedTranslations>();
  struct Cpu : engine::test::VcpuWorld {
    Cpu(const std::shared_ptr<SharedTranslations>& all, unsigned warm_after)
        : VcpuWorld([&](auto& ram) {
            return make_translator(ram, {.warm_after = warm_after, .shared = all});
          }) {
      code(kCode, {0xff, 0xc0, 0xff, 0xc9, 0x75, 0xfa, 0xf4});  // inc eax; dec ecx; jnz; hlt
      state.gpr[x86::kRcx] = 3;
    }
  };
  Cpu first(shared, 1), second(shared, 1000);
  EXPECT_EQ(first.run(), ExitReason::kHalted);
  EXPECT_EQ(second.run(), ExitReason::kHalted);
  EXPECT_EQ(second.state.gpr[x86::kRax], 3u);
  EXPECT_GT(first.counter("translations_offered"), 0u);
  EXPECT_GT(second.counter("translations_adopted"), 0u);
  EXPECT_EQ(second.counter("translations"), 0u);
}

}  // namespace
}  // namespace vireo::engine::translator
