#include "devices/virtio/virtqueue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "devices/virtio/driver_world.h"
#include "devices/virtio/queue_owner_fake.h"

namespace vireo::devices::virtio {
namespace {

using ::testing::ElementsAre, ::testing::HasSubstr;

/// Both layouts must do the same.
struct VirtqueueTest : ::testing::TestWithParam<bool> {
  static constexpr std::uint16_t kSize = 8;
  static constexpr std::uint64_t kRing = 0x10000, kData = 0x20000, kTable = 0x30000;

  VirtqueueTest() {
    if (GetParam())
      driver = std::make_unique<PackedDriver>(world, kSize, kRing);
    else
      driver = std::make_unique<SplitDriver>(world, kSize, kRing);
  }
  void start(bool event_index = false, bool indirect = true) {
    const RingFormat format{GetParam(), indirect, event_index};
    queue.configure([&](QueueState& state) { state = driver->set_up(); });
    ASSERT_TRUE(queue.enable(format));
    queue.run(format);
  }
  /// Takes one request and gives it back.
  bool turn(std::uint32_t written = 0) {
    if (!queue.take(chain)) return false;
    queue.give_back(chain, written);
    return true;
  }
  void expect_refused(const std::string& what) {
    EXPECT_FALSE(queue.take(chain));
    EXPECT_THAT(owner.error, HasSubstr(what));
    owner.error.clear();
    EXPECT_FALSE(queue.take(chain)) << "the queue has stopped";
    EXPECT_EQ(owner.error, "");
  }

  DriverMemory world;
  std::unique_ptr<RingDriver> driver;
  RecordingOwner owner;
  Virtqueue queue{*world.memory, owner, 0, 256};
  Chain chain;
};

INSTANTIATE_TEST_SUITE_P(Layouts, VirtqueueTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Packed" : "Split"; });

TEST_P(VirtqueueTest, ARequestIsTakenAndGivenBack) {
  start();
  EXPECT_FALSE(queue.take(chain));
  const auto id = driver->offer({{kData, 16}, {kData + 0x100, 32}, {kData + 0x800, 5, true}});
  ASSERT_TRUE(queue.take(chain));
  EXPECT_THAT(chain.readable(),
              ElementsAre(Buffer{PhysAddr{kData}, 16}, Buffer{PhysAddr{kData + 0x100}, 32}));
  EXPECT_THAT(chain.writable(), ElementsAre(Buffer{PhysAddr{kData + 0x800}, 5}));
  EXPECT_EQ(chain.readable_bytes(), 48u);
  EXPECT_EQ(chain.writable_bytes(), 5u);
  EXPECT_FALSE(driver->take_used());
  queue.give_back(chain, 5);
  EXPECT_EQ(driver->take_used(), (RingDriver::Used{id, 5}));
  EXPECT_FALSE(driver->take_used());
  EXPECT_EQ(owner.interrupts, 1);
}

TEST_P(VirtqueueTest, RequestsMayBeGivenBackInAnyOrder) {
  start();
  const auto first = driver->offer({{kData, 1}});
  const auto second = driver->offer({{kData, 2}});
  Chain a, b;
  ASSERT_TRUE(queue.take(a) && queue.take(b));
  queue.give_back(b, 0);
  queue.give_back(a, 0);
  EXPECT_EQ(driver->take_used()->id, second);
  EXPECT_EQ(driver->take_used()->id, first);
}

TEST_P(VirtqueueTest, TheRingsWrapAround) {
  start();
  for (unsigned round = 0; round < 100; ++round) {
    std::vector<DriverBuffer> buffers(1 + round % 3, {kData + round, 7});
    const auto id = driver->offer(buffers);
    ASSERT_TRUE(queue.take(chain)) << round;
    EXPECT_EQ(chain.readable().size(), buffers.size());
    EXPECT_EQ(chain.readable().front().address, PhysAddr{kData + round});
    queue.give_back(chain, round);
    ASSERT_EQ(driver->take_used(), (RingDriver::Used{id, round})) << round;
    EXPECT_FALSE(queue.take(chain));
  }
}

TEST_P(VirtqueueTest, AFullRingIsServedWhole) {
  start();
  for (unsigned i = 0; i < kSize; ++i) driver->offer({{kData, 1}});
  unsigned count = 0;
  queue.serve([&](Chain& one) {
    ++count;
    queue.give_back(one, 0);
  });
  EXPECT_EQ(count, kSize);
}

TEST_P(VirtqueueTest, AnIndirectTableHoldsMoreThanTheRing) {
  start();
  std::vector<DriverBuffer> buffers(40, {kData, 3});
  buffers.push_back({kData, 9, true});
  const auto id = driver->offer_indirect(buffers, kTable + 3);  // may lie anywhere
  ASSERT_TRUE(queue.take(chain));
  EXPECT_EQ(chain.readable().size(), 40u);
  EXPECT_EQ(chain.writable_bytes(), 9u);
  queue.give_back(chain, 1);
  EXPECT_EQ(driver->take_used(), (RingDriver::Used{id, 1}));
}

TEST_P(VirtqueueTest, AnIndirectTableNeedsTheFeature) {
  start(false, false);
  driver->offer_indirect({{kData, 3}}, kTable);
  expect_refused("indirect");
}

TEST_P(VirtqueueTest, AnIndirectTableInAnotherIsRefused) {
  start();
  driver->offer_indirect({{kData, 16}}, kTable);
  const std::uint64_t flags = kTable + (GetParam() ? 14 : 12);
  world.put(flags, descriptor::kIndirect);
  expect_refused("indirect");
}

TEST_P(VirtqueueTest, AnIndirectTableOfNoWholeSizeIsRefused) {
  for (const std::uint32_t length : {0u, 8u, 17u}) {
    start();
    driver->offer_indirect({{kData, 16}}, kTable);
    world.put(kRing + 8, length);
    expect_refused("whole number");
    queue.reset();
    driver = GetParam()
                 ? std::unique_ptr<RingDriver>(std::make_unique<PackedDriver>(world, kSize, kRing))
                 : std::make_unique<SplitDriver>(world, kSize, kRing);
  }
}

TEST_P(VirtqueueTest, AHugeIndirectTableEndsAtTheLimit) {
  start();
  driver->offer_indirect(std::vector<DriverBuffer>(Chain::kMostBuffers + 1, {kData, 1}), kTable);
  expect_refused("too many");
}

TEST_P(VirtqueueTest, AnIndirectTableOutsideMemoryIsRefused) {
  for (const std::uint64_t address :
       {DriverMemory::kEnd, DriverMemory::kEnd - 8, ~std::uint64_t{15}}) {
    start();
    driver->offer({{address, 32}});
    const std::uint64_t flags = kRing + (GetParam() ? 14 : 12);
    world.put(flags,
              static_cast<std::uint16_t>(world.get<std::uint16_t>(flags) | descriptor::kIndirect));
    expect_refused("outside memory");
    queue.reset();
    driver = GetParam()
                 ? std::unique_ptr<RingDriver>(std::make_unique<PackedDriver>(world, kSize, kRing))
                 : std::make_unique<SplitDriver>(world, kSize, kRing);
  }
}

TEST_P(VirtqueueTest, EmptyBuffersAreRefused) {
  start();
  driver->offer({{kData, 1}, {kData, 0}});
  expect_refused("without bytes");
}

TEST_P(VirtqueueTest, ReadableBehindWritableIsRefused) {
  start();
  driver->offer({{kData, 1, true}, {kData, 1, false}});
  expect_refused("behind");
}

TEST_P(VirtqueueTest, MoreBytesThanARequestMayHaveAreRefused) {
  start();
  driver->offer({{kData, 0xffffffff}, {kData, 1}, {kData, 1}});
  expect_refused("too many bytes");
}

TEST_P(VirtqueueTest, BuffersOutsideMemoryAreNoMatterOfTheRing) {
  start();
  driver->offer({{~std::uint64_t{0} - 8, 16}, {DriverMemory::kRom, 16, true}});
  ASSERT_TRUE(queue.take(chain));
  std::array<std::byte, 16> bytes{};
  EXPECT_FALSE(copy_from(*world.memory, chain.readable(), 0, bytes));
  std::vector<iovec> pieces;
  EXPECT_FALSE(map_buffers(*world.memory, chain.readable(), 0, 16, Direction::kFromGuest, pieces));
  EXPECT_FALSE(map_buffers(*world.memory, chain.writable(), 0, 16, Direction::kToGuest, pieces));
  EXPECT_TRUE(map_buffers(*world.memory, chain.writable(), 0, 16, Direction::kFromGuest, pieces));
}

TEST_P(VirtqueueTest, NoInterruptIsRaisedWhileTheDriverWantsNone) {
  start();
  driver->want_no_interrupts(true);
  driver->offer({{kData, 1}});
  EXPECT_TRUE(turn());
  EXPECT_EQ(owner.interrupts, 0);
  driver->want_no_interrupts(false);
  driver->offer({{kData, 1}});
  EXPECT_TRUE(turn());
  EXPECT_EQ(owner.interrupts, 1);
}

TEST_P(VirtqueueTest, AnEventIndexBringsTheInterruptWhenItIsReached) {
  start(true);
  for (unsigned round = 0; round < 20; ++round) {
    for (unsigned i = 0; i < 5; ++i) driver->offer({{kData, 1}});
    driver->want_interrupt_after(3);
    for (unsigned i = 0; i < 5; ++i) {
      EXPECT_TRUE(turn());
      EXPECT_EQ(owner.interrupts, i < 3 ? 0 : 1) << round << " " << i;
    }
    owner.interrupts = 0;
    while (driver->take_used()) {
    }
  }
}

TEST_P(VirtqueueTest, NotificationsAreAskedForOnlyWhenTheQueueIsEmpty) {
  for (const bool event_index : {false, true}) {
    queue.reset();
    driver = GetParam()
                 ? std::unique_ptr<RingDriver>(std::make_unique<PackedDriver>(world, kSize, kRing))
                 : std::make_unique<SplitDriver>(world, kSize, kRing);
    for (std::uint64_t at = kRing; at < kRing + 0x3000; at += 8) world.put(at, std::uint64_t{0});
    start(event_index);
    driver->offer({{kData, 1}});
    bool asked_meanwhile = false;
    queue.serve([&](Chain& one) {
      asked_meanwhile |= driver->notification_wanted(event_index);
      queue.give_back(one, 0);
    });
    EXPECT_FALSE(asked_meanwhile);
    EXPECT_TRUE(driver->notification_wanted(event_index));
  }
}

TEST_P(VirtqueueTest, ServingEndsThoughTheDriverNeverDoes) {
  start();
  Virtqueue& served = queue;
  unsigned count = 0;
  driver->offer({{kData, 1}});
  served.serve([&](Chain& one) {
    ++count;
    served.give_back(one, 0);
    ASSERT_LT(count, 10000u);
    driver->take_used();
    driver->offer({{kData, 1}});
  });
  EXPECT_EQ(owner.unfinished, 1);
}

TEST_P(VirtqueueTest, NoMoreIsTakenThanTheQueueHolds) {
  start();
  for (unsigned i = 0; i < kSize; ++i) driver->offer({{kData, 1}});
  Chain chains[kSize];
  for (auto& one : chains) ASSERT_TRUE(queue.take(one));
  driver->offer({{kData, 1}});  // though none came back
  expect_refused("at once");
}

TEST_P(VirtqueueTest, AQueueOutsideMemoryIsRefused) {
  for (const auto spoil : {+[](QueueState& s) { s.descriptors = DriverMemory::kEnd; },
                           +[](QueueState& s) { s.driver_area = ~std::uint64_t{3}; },
                           +[](QueueState& s) { s.device_area = DriverMemory::kRom; }}) {
    queue.reset();
    owner.error.clear();
    const RingFormat format{GetParam(), true, false};
    queue.configure([&](QueueState& state) {
      state = driver->set_up();
      spoil(state);
    });
    ASSERT_TRUE(queue.enable(format));
    queue.run(format);
    driver->offer({{kData, 1}});
    queue.serve([&](Chain& one) { queue.give_back(one, 0); });
    EXPECT_THAT(owner.error, HasSubstr("outside memory"));
  }
}

TEST_P(VirtqueueTest, AnImpossibleSetupIsRefused) {
  const RingFormat format{GetParam(), true, false};
  for (const auto spoil :
       {+[](QueueState& s) { s.size = 0; }, +[](QueueState& s) { s.size = 257; },
        +[](QueueState& s) { s.descriptors += 8; }, +[](QueueState& s) { s.driver_area += 1; },
        +[](QueueState& s) { s.device_area += 2; }}) {
    queue.reset();
    queue.configure([&](QueueState& state) {
      state = driver->set_up();
      spoil(state);
    });
    EXPECT_FALSE(queue.enable(format));
    EXPECT_EQ(queue.state().enabled, 0);
  }
  queue.configure([&](QueueState& state) {
    state = driver->set_up();
    state.size = 6;
  });
  EXPECT_EQ(queue.enable(format).has_value(), GetParam()) << "only packed rings have any size";
}

TEST_P(VirtqueueTest, AStoppedQueueTakesAndGivesNothing) {
  start();
  driver->offer({{kData, 1}});
  driver->offer({{kData, 1}});
  ASSERT_TRUE(queue.take(chain));
  queue.stop();
  queue.give_back(chain, 0);
  EXPECT_FALSE(driver->take_used());
  EXPECT_FALSE(queue.take(chain));
  EXPECT_EQ(owner.interrupts, 0);
}

TEST_P(VirtqueueTest, AnEnabledQueueIsNotChanged) {
  start();
  queue.configure([](QueueState& state) { state.size = 2; });
  EXPECT_EQ(queue.state().size, kSize);
}

// What only one of the layouts can get wrong.
struct SplitRingTest : VirtqueueTest {
  SplitDriver& split() { return static_cast<SplitDriver&>(*driver); }
};
INSTANTIATE_TEST_SUITE_P(Layouts, SplitRingTest, ::testing::Values(false));

TEST_P(SplitRingTest, ALoopOfDescriptorsIsRefused) {
  start();
  split().describe(kRing, {kData, 1}, descriptor::kNext, 1);
  split().describe(kRing + 16, {kData, 1}, descriptor::kNext, 0);
  split().make_available(0);
  expect_refused("loop");
}

TEST_P(SplitRingTest, ALoopInAnIndirectTableIsRefused) {
  start();
  split().offer_indirect({{kData, 1}, {kData, 1}}, kTable);
  split().describe(kTable + 16, {kData, 1}, descriptor::kNext, 0);
  expect_refused("loop");
}

TEST_P(SplitRingTest, NumbersBehindTheEndAreRefused) {
  start();
  split().make_available(kSize);
  expect_refused("does not have");
}

TEST_P(SplitRingTest, LinksBehindTheEndAreRefused) {
  start();
  split().describe(kRing, {kData, 1}, descriptor::kNext, kSize);
  split().make_available(0);
  expect_refused("does not have");
}

TEST_P(SplitRingTest, LinksOutOfAnIndirectTableAreRefused) {
  start();
  split().offer_indirect({{kData, 1}, {kData, 1}}, kTable);
  split().describe(kTable, {kData, 1}, descriptor::kNext, 2);
  expect_refused("link");
}

TEST_P(SplitRingTest, AnIndexThatRunsAheadIsRefused) {
  start();
  world.put(driver->driver_area + 2, static_cast<std::uint16_t>(kSize + 1));
  expect_refused("more requests");
}

TEST_P(SplitRingTest, AnIndirectDescriptorHasNoNext) {
  start();
  split().describe(kRing, {kTable, 16}, descriptor::kIndirect | descriptor::kNext, 1);
  split().make_available(0);
  expect_refused("indirect");
}

TEST_P(SplitRingTest, IndexesWrapAtSixteenBits) {
  const RingFormat format{false, true, true};
  split().start_at(0xfffd);
  QueueState state = driver->set_up();
  state.enabled = 1;
  state.next_available = state.next_used = state.judged_used = 0xfffd;
  queue.restore(state);
  queue.run(format);
  driver->want_interrupt_after(4);
  for (unsigned i = 0; i < 6; ++i) {
    const auto id = driver->offer({{kData, 1}});
    EXPECT_TRUE(turn());
    EXPECT_EQ(driver->take_used()->id, id);
    EXPECT_EQ(owner.interrupts, i < 4 ? 0 : 1);
  }
  EXPECT_EQ(queue.state().next_used, 3);
}

struct PackedRingTest : VirtqueueTest {};
INSTANTIATE_TEST_SUITE_P(Layouts, PackedRingTest, ::testing::Values(true));

TEST_P(PackedRingTest, ARequestWithoutAnEndIsRefused) {
  start();
  driver->offer(std::vector<DriverBuffer>(kSize, {kData, 1}));
  for (unsigned i = 0; i < kSize; ++i) {
    const std::uint64_t flags = kRing + 16 * i + 14;
    world.put(flags,
              static_cast<std::uint16_t>(world.get<std::uint16_t>(flags) | descriptor::kNext));
  }
  expect_refused("more descriptors");
}

TEST_P(PackedRingTest, APositionMeansNothingWithoutTheFeature) {
  start(false);
  driver->want_interrupt_after(0);
  driver->offer({{kData, 1}});
  EXPECT_TRUE(turn());
  EXPECT_EQ(owner.interrupts, 0);
}

TEST_P(PackedRingTest, AnEventOutsideTheRingIsRefused) {
  start(true);
  world.put(driver->driver_area, kSize);
  world.put(driver->driver_area + 2, std::uint16_t{2});
  driver->offer({{kData, 1}});
  ASSERT_TRUE(queue.take(chain));
  queue.give_back(chain, 0);
  EXPECT_THAT(owner.error, HasSubstr("event"));
}

TEST_P(PackedRingTest, APositionOutsideTheRingIsNotRestored) {
  QueueState state = driver->set_up();
  EXPECT_TRUE(check_queue(state, {true, true, true}, 256));
  state.next_used = 0x8000 | kSize;
  EXPECT_FALSE(check_queue(state, {true, true, true}, 256));
}

struct Listener final : memory::PageListener {
  bool on_watch(PhysAddr) override { return false; }
  bool on_move() override { return false; }
  void on_watched_write(PhysAddr address, std::size_t size) override {
    written.emplace_back(value(address), size);
  }
  std::vector<std::pair<std::uint64_t, std::size_t>> written;
};

TEST(Buffers, AreMappedInAsFewPiecesAsTheyComeIn) {
  DriverMemory world;
  const std::vector<Buffer> row{
      {PhysAddr{0x1ff0}, 0x2000}, {PhysAddr{0x3ff0}, 0x10}, {PhysAddr{0x8000}, 0x10}};
  std::vector<iovec> pieces;
  ASSERT_TRUE(map_buffers(*world.memory, row, 8, 0x2010, Direction::kToGuest, pieces));
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].iov_base, world.memory->host_page(PhysAddr{0x1000}) + 0xff8);
  EXPECT_EQ(pieces[0].iov_len, 0x2008u);
  EXPECT_EQ(pieces[1].iov_len, 8u);
  EXPECT_FALSE(map_buffers(*world.memory, row, 8, 0x2020, Direction::kToGuest, pieces));
}

TEST(Buffers, WhatIsWrittenBesideTheMemoryIsTold) {
  DriverMemory world;
  Listener listener;
  world.memory->add_listener(listener);
  world.memory->watch(PhysAddr{0x2000});
  const std::vector<Buffer> row{{PhysAddr{0x1ff0}, 0x20}, {PhysAddr{0x5000}, 0x10}};
  note_written(*world.memory, row, 0x18, 0x18);
  EXPECT_THAT(listener.written, ElementsAre(std::pair(std::uint64_t{0x2008}, std::size_t{8})));
}

TEST(Buffers, AreCopiedAcrossTheirBorders) {
  DriverMemory world;
  const std::vector<Buffer> row{{PhysAddr{0x1000}, 3}, {PhysAddr{0x2000}, 3}};
  const std::array<std::byte, 4> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  ASSERT_TRUE(copy_to(*world.memory, row, 1, bytes));
  EXPECT_EQ(world.get<std::uint8_t>(0x1001), 1);
  EXPECT_EQ(world.get<std::uint8_t>(0x2001), 4);
  std::array<std::byte, 4> back{};
  ASSERT_TRUE(copy_from(*world.memory, row, 1, back));
  EXPECT_EQ(back, bytes);
  EXPECT_FALSE(copy_from(*world.memory, row, 3, back));
}

}  // namespace
}  // namespace vireo::devices::virtio
