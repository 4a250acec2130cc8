#include "engine/software/block_cache.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/software/soft_world.h"

namespace vireo::engine {
namespace {

void run(const Op*, Cpu*) {}
void leave(const Op*, Cpu*) {}
void stale(const Op*, Cpu*) {}

constexpr std::uint64_t kCode = 0x5000, kSecond = 0x9000;

/// One vCPU's blocks.
struct Vcpu {
  std::unique_ptr<Cpu> cpu = std::make_unique<Cpu>();
  BlockCache cache;

  explicit Vcpu(memory::GuestMemory& memory, std::size_t bytes = BlockCache::kBytes)
      : cache(*cpu, memory, leave, stale, bytes) {}

  Block* add(std::uint64_t start, std::uint16_t bytes, std::uint64_t second = 0,
             std::uint32_t mode = 2) {
    cache.begin_block();
    Block* const block = &cache.allocate_block();
    block->start = PhysAddr{start};
    block->mode = mode;
    block->bytes = block->relied_on = bytes;
    block->op_count = 4;
    block->ops = cache.allocate_ops(block->op_count);
    for (std::size_t i = 0; i < block->op_count; ++i) block->ops[i].run = run;
    block->straddles = second != 0;
    block->second_page = PhysAddr{second};
    cache.watch(PhysAddr{start});
    if (second != 0) cache.watch(PhysAddr{second});
    cache.insert(*block);
    return block;
  }
  /// Makes a page directly writable at the linear address that equals the physical one.
  TlbEntry& writable(std::uint64_t page) {
    Tlb& tlb = cpu->tlbs[0];
    cpu->directly_written.announce(PhysAddr{page});
    tlb.fill(page, {page, page, 0, page});
    return tlb.entry(page);
  }
};

struct World {
  std::unique_ptr<memory::GuestMemory> memory = test::make_memory();
  Vcpu vcpu{*memory};

  void write(std::uint64_t address, std::size_t size = 1) {
    const std::vector<std::byte> data(size, std::byte{1});
    ASSERT_TRUE(memory->write(PhysAddr{address}, data));
  }
  bool has(std::uint64_t start, std::uint32_t mode = 2) {
    return vcpu.cache.find(PhysAddr{start}, mode) != nullptr;
  }
};

TEST(BlockCache, FindsBlocksByAddressAndMode) {
  World w;
  Block* block = w.vcpu.add(kCode, 4);
  Block* other = w.vcpu.add(kCode, 4, 0, 1);
  EXPECT_EQ(w.vcpu.cache.find(PhysAddr{kCode}, 2), block);
  EXPECT_EQ(w.vcpu.cache.find(PhysAddr{kCode}, 1), other);
  EXPECT_FALSE(w.has(kCode, 0));
  EXPECT_FALSE(w.has(kCode + 1));
}

TEST(BlockCache, ABlockWhoseTwoPagesAreOneGoesOnce) {
  World w;
  w.vcpu.add(kCode + 0xffe, 5, kCode);
  w.write(kCode);
  EXPECT_FALSE(w.has(kCode + 0xffe));
}

TEST(BlockCache, BlocksOfOneListGoOneByOne) {
  World w;
  constexpr std::uint16_t kBytes = 2, kCount = 200;  // more than there are lists
  for (std::uint16_t i = 0; i < kCount; ++i) w.vcpu.add(kCode + i * kBytes, kBytes);
  w.write(kCode + 10 * kBytes, 100 * kBytes);
  for (std::uint16_t i = 0; i < kCount; ++i)
    EXPECT_EQ(w.has(kCode + i * kBytes), i < 10 || i >= 110) << i;
  EXPECT_EQ(w.vcpu.cpu->counters.blocks_invalidated, 100u);
}

TEST(BlockCache, WatchingTakesAwayDirectWrites) {
  World w;
  w.vcpu.writable(kCode);
  w.vcpu.writable(kCode + 4096);
  w.vcpu.cache.watch(PhysAddr{kCode + 7});
  EXPECT_NE(w.vcpu.cpu->tlbs[0].entry(kCode).write_tag, kCode);
  EXPECT_EQ(w.vcpu.cpu->tlbs[0].entry(kCode).read_tag, kCode);
  EXPECT_EQ(w.vcpu.cpu->tlbs[0].entry(kCode + 4096).write_tag, kCode + 4096);
}

TEST(BlockCache, AWriteToABlockMakesEveryOperationLeave) {
  World w;
  Block* block = w.vcpu.add(kCode + 16, 8);
  w.write(kCode + 23);
  EXPECT_FALSE(w.has(kCode + 16));
  EXPECT_FALSE(block->valid);
  EXPECT_EQ(block->ops[0].run, stale);
  for (unsigned i = 1; i < 4; ++i) EXPECT_EQ(block->ops[i].run, leave);
  EXPECT_EQ(w.vcpu.cpu->counters.blocks_invalidated, 1u);
}

TEST(BlockCache, NeighboursOfAWriteStay) {
  World w;
  w.vcpu.add(kCode, 8);
  w.vcpu.add(kCode + 8, 8);
  w.vcpu.add(kCode + 16, 8);
  w.write(kCode + 8, 8);
  EXPECT_TRUE(w.has(kCode));
  EXPECT_FALSE(w.has(kCode + 8));
  EXPECT_TRUE(w.has(kCode + 16));
  w.write(kCode + 24);
  EXPECT_TRUE(w.has(kCode + 16));
}

TEST(BlockCache, APageIsWatchedUntilWritesFindNoBlocksManyTimes) {
  World w;
  const auto watched = [&] { return w.memory->watched(PhysAddr{kCode}); };
  constexpr unsigned kFew = 8, kMany = 20;
  w.vcpu.add(kCode, 8);
  w.vcpu.add(kCode + 8, 8);
  for (unsigned i = 0; i < kMany; ++i) w.write(kCode + 64);
  EXPECT_TRUE(watched());
  w.write(kCode);
  w.write(kCode + 8);
  for (unsigned i = 0; i < kFew; ++i) w.write(kCode);
  EXPECT_TRUE(watched());
  w.vcpu.add(kCode, 8);
  w.write(kCode);
  for (unsigned i = 0; i < kFew; ++i) w.write(kCode);
  EXPECT_TRUE(watched());
  for (unsigned i = 0; i < kMany; ++i) w.write(kCode);
  EXPECT_FALSE(watched());
  w.vcpu.add(kCode, 8);
  EXPECT_TRUE(watched());
}

TEST(BlockCache, AStraddlingBlockIsHitInBothPages) {
  for (const std::uint64_t at : {kCode + 4093, kCode + 4095, kSecond, kSecond + 1}) {
    World w;
    w.vcpu.add(kCode + 4093, 5, kSecond);
    w.write(at);
    EXPECT_FALSE(w.has(kCode + 4093)) << std::hex << at;
  }
  for (const std::uint64_t at : {kCode + 4092, kSecond + 2, kCode + 4096, kSecond - 1}) {
    World w;
    w.vcpu.add(kCode + 4093, 5, kSecond);
    w.write(at);
    EXPECT_TRUE(w.has(kCode + 4093)) << std::hex << at;
  }
}

TEST(BlockCache, OneWriteAcrossPagesHitsBlocksInBoth) {
  World w;
  w.vcpu.add(kCode + 4088, 8);
  w.vcpu.add(kCode + 4096, 8);
  w.write(kCode + 4095, 2);
  EXPECT_FALSE(w.has(kCode + 4088));
  EXPECT_FALSE(w.has(kCode + 4096));
}

TEST(BlockCache, BranchesToARetiredBlockAreUnlinked) {
  World w;
  Block* from = w.vcpu.add(kCode, 8);
  Block* to = w.vcpu.add(kCode + 64, 8);
  Op* branch = from->ops + 2;
  branch->block = from;
  BlockCache::link(branch, *to);
  EXPECT_EQ(branch->target, to->ops);
  w.vcpu.cache.retire(*to);
  EXPECT_EQ(branch->target, nullptr);
  EXPECT_TRUE(w.has(kCode));
}

TEST(BlockCache, TheOldestGiveWayWhenMemoryIsFull) {
  const auto memory = test::make_memory();
  Vcpu vcpu(*memory, 4 << 20);
  const auto start_of = [](std::uint64_t number) { return 0x10000 + number * 8; };
  // Two that are linked to each other, the first and one near the end.
  Block* const first = vcpu.add(start_of(0), 8);
  std::uint64_t count = 1;
  Block* last = nullptr;
  while (!vcpu.cache.full()) last = vcpu.add(start_of(count++), 8);
  ASSERT_GT(count, 1000u);
  for (Block* each : {first, last}) each->ops[2].block = each;
  BlockCache::link(&first->ops[2], *last);
  BlockCache::link(&last->ops[2], *first);
  vcpu.cpu->jump_entry(start_of(0)) = {start_of(0), vcpu.cpu->jump_tag, first->ops};
  ASSERT_EQ(vcpu.cache.find(PhysAddr{start_of(0)}, 2), first);
  vcpu.cache.trim();
  EXPECT_FALSE(vcpu.cache.full());
  EXPECT_EQ(vcpu.cache.find(PhysAddr{start_of(0)}, 2), nullptr);
  EXPECT_EQ(vcpu.cpu->jump_entry(start_of(0)).entry, nullptr);
  EXPECT_FALSE(memory->watched(PhysAddr{start_of(0)}));
  EXPECT_EQ(vcpu.cache.find(PhysAddr{start_of(count - 1)}, 2), last);
  EXPECT_TRUE(memory->watched(PhysAddr{start_of(count - 1)}));
  EXPECT_EQ(last->ops[2].target, nullptr);
  // What is linked to it and gone is not touched when it goes itself.
  vcpu.cache.retire(*last);
  EXPECT_EQ(vcpu.cpu->counters.code_evictions, 1u);
  EXPECT_EQ(vcpu.cpu->counters.code_flushes, 0u);
}

TEST(BlockCache, FlushForgetsEverythingAndLookedUpBranchesToo) {
  World w;
  w.vcpu.add(kCode, 8);
  w.vcpu.add(kCode + 4093, 5, kSecond);
  w.vcpu.cpu->jump_entry(kCode) = {kCode, w.vcpu.cpu->jump_tag, w.vcpu.add(kCode + 16, 8)->ops};
  w.vcpu.cache.flush();
  EXPECT_FALSE(w.has(kCode));
  EXPECT_FALSE(w.memory->watched(PhysAddr{kCode}));
  EXPECT_FALSE(w.memory->watched(PhysAddr{kSecond}));
  EXPECT_EQ(w.vcpu.cpu->jump_entry(kCode).entry, nullptr);
  EXPECT_NE(w.vcpu.cpu->jump_entry(kCode).rip, kCode);
  EXPECT_EQ(w.vcpu.cpu->counters.code_flushes, 1u);
}

TEST(BlockCache, ABlockThatWasFoundBeforeIsNotFoundWhenItIsGone) {
  World w;
  Block* old = w.vcpu.add(kCode, 8);
  ASSERT_EQ(w.vcpu.cache.find(PhysAddr{kCode}, 2), old);
  w.vcpu.cache.retire(*old);
  EXPECT_FALSE(w.has(kCode));
  Block* fresh = w.vcpu.add(kCode, 4);
  EXPECT_EQ(w.vcpu.cache.find(PhysAddr{kCode}, 2), fresh);
  EXPECT_FALSE(w.has(kCode, 1));
  w.vcpu.cache.flush();
  EXPECT_FALSE(w.has(kCode));
}

TEST(BlockCache, AnotherThreadsWriteIsServedBetweenBlocks) {
  World w;
  w.vcpu.add(kCode, 8);
  std::thread([&] { w.write(kCode + 3); }).join();
  EXPECT_TRUE(w.has(kCode));
  EXPECT_EQ(w.vcpu.cpu->events.take(), PendingEvents::kStaleCode);
  w.vcpu.cache.serve_others();
  EXPECT_FALSE(w.has(kCode));
}

TEST(BlockCache, WritesToPagesOfOthersCodeDisturbNobodyElse) {
  World w;
  Vcpu other(*w.memory);
  other.add(kCode, 8);
  w.vcpu.add(kSecond, 8);
  std::thread([&] { w.write(kCode + 3); }).join();
  EXPECT_TRUE(other.cpu->events.any());
  EXPECT_FALSE(w.vcpu.cpu->events.any());
  std::thread([&] { w.write(kCode + kPageSize - 1, kSecond - kCode); }).join();  // up to its code
  EXPECT_TRUE(w.vcpu.cpu->events.any());
}

TEST(BlockCache, AWatchDoesNotWaitForAVcpuThatIsOutOfTheGuest) {
  World w;
  w.vcpu.writable(kCode);
  w.vcpu.cache.enter_guest();
  w.vcpu.cache.leave_guest();
  std::thread([&] { w.memory->watch(PhysAddr{kCode}); }).join();
  EXPECT_EQ(w.vcpu.cpu->tlbs[0].entry(kCode).write_tag, kCode);  // no guest code runs with it
  EXPECT_EQ(w.vcpu.cpu->events.take(), PendingEvents::kStaleCode);
  w.vcpu.cache.serve_others();
  EXPECT_NE(w.vcpu.cpu->tlbs[0].entry(kCode).write_tag, kCode);
}

TEST(BlockCache, MoreWritesThanCanBeListedMakeEverythingStale) {
  World w;
  w.vcpu.add(kCode, 8);
  w.vcpu.add(kSecond, 8);
  std::thread([&] {
    for (unsigned i = 0; i < 100'000; ++i) w.write(kCode + 100);
    w.write(kSecond);
  }).join();
  w.vcpu.cache.serve_others();
  EXPECT_FALSE(w.has(kCode));
  EXPECT_FALSE(w.has(kSecond));
}

TEST(BlockCache, ABlockKeepsItsPageWatchedThoughTheLastOneBeforeItWent) {
  World w;
  w.vcpu.add(kCode, 8);
  w.vcpu.cache.begin_block();
  Block& block = w.vcpu.cache.allocate_block();
  block.start = PhysAddr{kCode + 64};
  block.ops = w.vcpu.cache.allocate_ops(1);
  block.op_count = 1;
  block.bytes = 1;
  w.vcpu.cache.watch(PhysAddr{kCode});
  w.write(kCode);  // a page walk sets an accessed bit there
  w.vcpu.cache.insert(block);
  EXPECT_TRUE(w.memory->watched(PhysAddr{kCode}));
}

/// A thread that runs "guest code": it stores wherever its TLB allows it to, block after block.
class Runner {
 public:
  Runner(memory::GuestMemory& memory, std::uint64_t page) : vcpu_(memory), page_(page) {
    vcpu_.writable(page);
    // SAFETY: bytes of guest memory, looked at as numbers.
    host_ = reinterpret_cast<std::uint8_t*>(memory.host_page(PhysAddr{page}));
    thread_ = std::thread([this] { loop(); });
    while (stores_.load() == 0) std::this_thread::yield();
  }
  ~Runner() {
    stop_ = true;
    thread_.join();
  }
  std::uint64_t stores() const { return stores_.load(); }

 private:
  void loop() {
    vcpu_.cache.enter_guest();
    while (!stop_) {
      if (vcpu_.cpu->events.take() & PendingEvents::kStaleCode) vcpu_.cache.serve_others();
      if (vcpu_.cpu->tlbs[0].entry(page_).write_tag != page_) continue;
      __atomic_store_n(host_, static_cast<std::uint8_t>(stores_), __ATOMIC_RELAXED);
      ++stores_;
    }
    vcpu_.cache.leave_guest();
  }

  Vcpu vcpu_;
  std::uint64_t page_;
  std::uint8_t* host_ = nullptr;
  std::atomic<std::uint64_t> stores_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST(BlockCacheThreads, WhenWatchReturnsNoOtherVcpuWritesUnseen) {
  World w;
  for (std::uint64_t i = 0; i < 50; ++i) {
    const std::uint64_t page = kCode + i * kPageSize;
    Runner other(*w.memory, page);
    w.vcpu.cache.enter_guest();
    w.vcpu.cache.watch(PhysAddr{page});
    const std::uint64_t stores = other.stores();
    for (unsigned spin = 0; spin < 20; ++spin) std::this_thread::yield();
    ASSERT_EQ(other.stores(), stores);
    w.vcpu.cache.leave_guest();
  }
}

// A vCPU in the guest that does not serve anybody: whoever waited for it would wait forever.
TEST(BlockCacheThreads, AVcpuThatCannotWriteToAPageIsNotWaitedFor) {
  World w;
  Vcpu other(*w.memory);
  std::atomic<bool> entered = false, done = false;
  std::thread thread([&] {
    other.cache.enter_guest();
    entered = true;
    while (!done) std::this_thread::yield();
    other.cache.leave_guest();
  });
  while (!entered) std::this_thread::yield();
  w.vcpu.cache.watch(PhysAddr{kCode});
  EXPECT_FALSE(other.cpu->events.any());
  done = true;
  thread.join();
}

TEST(BlockCacheThreads, VcpusThatWatchAtTheSameTimeDoNotWaitForEachOtherForever) {
  constexpr std::uint64_t kPages = 500;
  const auto memory = test::make_memory();
  Vcpu first(*memory), second(*memory);
  const auto body = [](Vcpu& vcpu) {
    vcpu.cache.enter_guest();
    for (std::uint64_t i = 0; i < kPages; ++i) vcpu.cache.watch(PhysAddr{i * kPageSize});
    vcpu.cache.leave_guest();
  };
  std::thread other([&] { body(second); });
  body(first);
  other.join();
  EXPECT_TRUE(memory->watched(PhysAddr{(kPages - 1) * kPageSize}));
}

TEST(BlockCacheThreads, WritesOfAnotherThreadRetireWhatTheyTouch) {
  World w;
  constexpr unsigned kBlocks = 256;
  for (unsigned i = 0; i < kBlocks; ++i) w.vcpu.add(kCode + 16 * i, 16);
  w.vcpu.cache.enter_guest();
  std::thread other([&] {
    for (unsigned i = 0; i < kBlocks; i += 2) w.write(kCode + 16 * i);
  });
  while (w.vcpu.cpu->counters.blocks_invalidated < kBlocks / 2)
    if (w.vcpu.cpu->events.take() & PendingEvents::kStaleCode) w.vcpu.cache.serve_others();
  other.join();
  w.vcpu.cache.leave_guest();
  for (unsigned i = 0; i < kBlocks; ++i) EXPECT_EQ(w.has(kCode + 16 * i), i % 2 == 1) << i;
}

}  // namespace
}  // namespace vireo::engine
