#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "devices/virtio/driver_world.h"
#include "devices/virtio/queue_owner_fake.h"
#include "devices/virtio/virtqueue.h"

namespace vireo::devices::virtio {
namespace {

using ::testing::ElementsAre;

/// Both layouts must do the same.
struct GatherTest : ::testing::TestWithParam<bool> {
  static constexpr std::uint16_t kSize = 8;
  static constexpr std::uint64_t kRing = 0x10000, kData = 0x20000;

  GatherTest() {
    if (GetParam())
      driver = std::make_unique<PackedDriver>(world, kSize, kRing);
    else
      driver = std::make_unique<SplitDriver>(world, kSize, kRing);
  }
  void start(bool event_index = false) {
    const RingFormat format{GetParam(), true, event_index};
    queue.configure([&](QueueState& state) { state = driver->set_up(); });
    ASSERT_TRUE(queue.enable(format));
    queue.run(format);
  }
  DriverMemory world;
  std::unique_ptr<RingDriver> driver;
  RecordingOwner owner;
  Virtqueue queue{*world.memory, owner, 0, 256};
};

INSTANTIATE_TEST_SUITE_P(Layouts, GatherTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Packed" : "Split"; });

TEST_P(GatherTest, RequestsAreGatheredUntilTheyHoldEnough) {
  start();
  std::vector<Chain> chains;
  std::size_t count = 0;
  driver->offer({{kData, 100, true}});
  driver->offer({{kData + 0x100, 30, true}, {kData + 0x200, 30, true}});
  driver->offer({{kData + 0x300, 100, true}});
  ASSERT_EQ(queue.gather(150, 8, chains, count), Virtqueue::Gathered::kAll);
  ASSERT_EQ(count, 2u);
  EXPECT_EQ(chains[1].writable_bytes(), 60u);
  ASSERT_EQ(queue.gather(100, 8, chains, count), Virtqueue::Gathered::kAll);
  ASSERT_EQ(count, 1u);
  EXPECT_THAT(chains[0].writable(), ElementsAre(Buffer{PhysAddr{kData + 0x300}, 100}));
}

TEST_P(GatherTest, WhatIsNotEnoughIsNotTaken) {
  start();
  std::vector<Chain> chains;
  std::size_t count = 0;
  const auto first = driver->offer({{kData, 100, true}});
  EXPECT_EQ(queue.gather(101, 8, chains, count), Virtqueue::Gathered::kWait);
  EXPECT_TRUE(driver->notification_wanted(false)) << "to hear of more";
  driver->offer({{kData + 0x100, 1, true}});
  ASSERT_EQ(queue.gather(101, 8, chains, count), Virtqueue::Gathered::kAll);
  EXPECT_FALSE(driver->notification_wanted(false)) << "there is no need to, now";
  ASSERT_EQ(count, 2u);
  EXPECT_EQ(chains[0].id, first);
}

TEST_P(GatherTest, WithEventIndexesADriverNotifiesWhenItHasOfferedMoreThanWasSeen) {
  start(true);
  std::vector<Chain> chains;
  std::size_t count = 0;
  driver->offer({{kData, 100, true}});
  EXPECT_EQ(queue.gather(101, 8, chains, count), Virtqueue::Gathered::kWait);
  EXPECT_TRUE(driver->notification_wanted(true));
}

TEST_P(GatherTest, WhatNoNumberOfRequestsHoldsIsNeverGathered) {
  start();
  std::vector<Chain> chains;
  std::size_t count = 0;
  for (unsigned i = 0; i < kSize; ++i) driver->offer({{kData, 10, true}});
  EXPECT_EQ(queue.gather(81, 100, chains, count), Virtqueue::Gathered::kNever);
  EXPECT_EQ(queue.gather(11, 1, chains, count), Virtqueue::Gathered::kNever);
  ASSERT_EQ(queue.gather(80, 100, chains, count), Virtqueue::Gathered::kAll) << "nothing was lost";
  EXPECT_EQ(count, 8u);
  queue.stop();
  EXPECT_EQ(queue.gather(1, 1, chains, count), Virtqueue::Gathered::kNever);
  EXPECT_EQ(owner.error, "");
}

TEST_P(GatherTest, SeveralRequestsAreGivenBackAtOnce) {
  start();
  // Twice around the ring.
  for (unsigned round = 0; round < 6; ++round) {
    std::vector<std::uint16_t> ids;
    for (unsigned i = 0; i < 3; ++i) ids.push_back(driver->offer({{kData, 10, true}}));
    std::vector<Chain> chains;
    std::size_t count = 0;
    ASSERT_EQ(queue.gather(30, 8, chains, count), Virtqueue::Gathered::kAll);
    const std::vector<Done> done{{&chains[0], 10}, {&chains[1], 5}, {&chains[2], 0}};
    owner.interrupts = 0;
    queue.give_back(done);
    EXPECT_EQ(owner.interrupts, 1);
    EXPECT_EQ(driver->take_used(), (RingDriver::Used{ids[0], 10}));
    EXPECT_EQ(driver->take_used(), (RingDriver::Used{ids[1], 5}));
    EXPECT_EQ(driver->take_used(), (RingDriver::Used{ids[2], 0}));
    EXPECT_FALSE(driver->take_used());
  }
}

TEST_P(GatherTest, AHandlerMayLeaveTheRestForLater) {
  start();
  for (unsigned i = 0; i < 3; ++i) driver->offer({{kData, 1}});
  unsigned handled = 0;
  queue.serve_while([&](Chain& one) {
    queue.give_back(one, 0);
    return ++handled < 2;
  });
  EXPECT_EQ(handled, 2u);
  EXPECT_FALSE(driver->notification_wanted(false));
  queue.serve_later();
  EXPECT_EQ(owner.unfinished, 1);
  queue.serve([&](Chain& one) { queue.give_back(one, 0), ++handled; });
  EXPECT_EQ(handled, 3u);
  EXPECT_TRUE(driver->notification_wanted(false));
}

}  // namespace
}  // namespace vireo::devices::virtio
