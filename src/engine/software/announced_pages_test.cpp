#include "engine/software/announced_pages.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "engine/software/soft_world.h"

namespace vireo::engine {
namespace {

constexpr PhysAddr kPage{0x5000}, kNext{0x6000};

TEST(AnnouncedPages, HoldWhatWasAnnouncedUntilItIsForgotten) {
  const auto pages = std::make_unique<AnnouncedPages>();
  EXPECT_FALSE(pages->announced(kPage));
  pages->announce(kPage + 17);
  pages->announce(kPage);
  EXPECT_TRUE(pages->announced(kPage + 4095));
  EXPECT_FALSE(pages->announced(kNext));
  pages->announce(PhysAddr{(1ull << 30) + value(kNext)});
  EXPECT_TRUE(pages->announced(kNext)) << "it may claim too much";
  pages->forget_all();
  EXPECT_FALSE(pages->announced(kPage));
}

// The two sides of a page's word, a new page each time: the owner announces and looks, the other
// changes and asks.
TEST(AnnouncedPages, EitherTheOwnerSeesTheChangeOrTheOtherSeesTheAnnouncement) {
  constexpr unsigned kRounds = 2000;
  const auto pages = std::make_unique<AnnouncedPages>();
  std::atomic<unsigned> changed = 0, round = 0, asked = 0;
  bool told = false;
  std::thread other([&] {
    for (unsigned i = 1; i <= kRounds; ++i) {
      while (round.load() < i) std::this_thread::yield();
      changed.store(i, std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      told = pages->announced(kPage + i * kPageSize);
      asked.store(i);
    }
  });
  unsigned missed = 0;
  for (unsigned i = 1; i <= kRounds; ++i) {
    round.store(i);
    pages->announce(kPage + i * kPageSize);
    const bool seen = changed.load(std::memory_order_relaxed) == i;
    while (asked.load() < i) std::this_thread::yield();
    missed += seen || told ? 0 : 1;
  }
  other.join();
  EXPECT_EQ(missed, 0u);
}

/// One page of memory at kLinear, and who accesses it as guest code does.
struct Accesses {
  static constexpr std::uint64_t kLinear = 0x7000'0000, kPhysical = 0x200000;

  Accesses() {
    cpu->mmu = &mmu;
    cpu->state = test::long_mode(tables.root());
    mmu.refresh_mode();
    tables.map(kLinear, kPhysical);
  }
  bool announced() const { return cpu->directly_written.announced(PhysAddr{kPhysical}); }

  std::unique_ptr<memory::GuestMemory> memory = test::make_memory();
  test::PageTables tables{*memory};
  test::LoggingMachine machine;
  x86::CpuidModel model;
  std::unique_ptr<Cpu> cpu{new Cpu};
  SoftMmu mmu{*cpu, *memory, machine, model};
};

TEST(AnnouncedPages, APageIsAnnouncedBeforeItIsWrittenDirectly) {
  Accesses w;
  std::uint32_t data = 0;
  ASSERT_TRUE(load(w.cpu.get(), Accesses::kLinear, data));
  EXPECT_FALSE(w.announced()) << "it was only read";
  ASSERT_TRUE(store(w.cpu.get(), Accesses::kLinear, data));
  ASSERT_NE(w.mmu.direct(LinearAddr{Accesses::kLinear}, 4, true), nullptr);
  EXPECT_TRUE(w.announced());
  w.mmu.flush(x86::TlbFlush::kNonGlobal);
  EXPECT_TRUE(w.announced()) << "what is put aside may come back";
  w.mmu.flush(x86::TlbFlush::kAll);
  EXPECT_FALSE(w.announced());
}

TEST(AnnouncedPages, AWatchedPageIsAnnouncedWhenItIsWrittenDirectlyAgain) {
  Accesses w;
  const std::uint32_t data = 1;
  w.memory->watch(PhysAddr{Accesses::kPhysical});
  ASSERT_TRUE(store(w.cpu.get(), Accesses::kLinear, data));
  EXPECT_FALSE(w.announced()) << "whoever watches it is told of each write";
  w.memory->unwatch(PhysAddr{Accesses::kPhysical});
  ASSERT_TRUE(store(w.cpu.get(), Accesses::kLinear, data));
  EXPECT_TRUE(w.announced());
}

}  // namespace
}  // namespace vireo::engine
