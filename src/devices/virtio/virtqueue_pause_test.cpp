#include <gtest/gtest.h>

#include <memory>

#include "devices/virtio/driver_world.h"
#include "devices/virtio/queue_owner_fake.h"
#include "devices/virtio/virtqueue.h"

namespace vireo::devices::virtio {
namespace {

/// Both layouts must do the same.
struct VirtqueuePauseTest : ::testing::TestWithParam<bool> {
  static constexpr std::uint16_t kSize = 8;
  static constexpr std::uint64_t kRing = 0x10000, kData = 0x20000;

  void SetUp() override {
    if (GetParam())
      driver = std::make_unique<PackedDriver>(world, kSize, kRing);
    else
      driver = std::make_unique<SplitDriver>(world, kSize, kRing);
    begin();
  }
  void begin() {
    const RingFormat format{GetParam(), true, false};
    queue.configure([&](QueueState& state) { state = driver->set_up(); });
    ASSERT_TRUE(queue.enable(format));
    queue.run(format);
  }

  DriverMemory world;
  std::unique_ptr<RingDriver> driver;
  RecordingOwner owner;
  Virtqueue queue{*world.memory, owner, 0, 256};
  Chain chain;
  std::vector<Chain> chains;
  std::size_t count = 0;
};

INSTANTIATE_TEST_SUITE_P(Layouts, VirtqueuePauseTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Packed" : "Split"; });

TEST_P(VirtqueuePauseTest, WhileItIsHeldNothingIsTakenButWhatWasTakenComesBack) {
  const auto first = driver->offer({{kData, 16}});
  ASSERT_TRUE(queue.take(chain));
  driver->offer({{kData, 16, true}});
  queue.hold();
  Chain other;
  EXPECT_FALSE(queue.take(other));
  EXPECT_EQ(queue.gather(1, 1, chains, count), Virtqueue::Gathered::kWait);
  queue.serve([](Chain&) { FAIL() << "it was served"; });
  queue.give_back(chain, 0);
  EXPECT_EQ(driver->take_used(), (RingDriver::Used{first, 0}));
  EXPECT_EQ(owner.interrupts, 1);
  queue.resume();
  EXPECT_EQ(queue.gather(1, 1, chains, count), Virtqueue::Gathered::kAll);
}

TEST_P(VirtqueuePauseTest, WhileItIsFrozenTheDriverSeesNothing) {
  const auto first = driver->offer({{kData, 16}});
  const auto second = driver->offer({{kData, 16, true}});
  Chain other;
  ASSERT_TRUE(queue.take(chain));
  ASSERT_TRUE(queue.take(other));
  queue.hold();
  queue.freeze();
  const QueueState before = queue.state();
  queue.give_back(chain, 0);
  queue.give_back(other, 7);
  EXPECT_FALSE(driver->take_used());
  EXPECT_EQ(owner.interrupts, 0);
  EXPECT_EQ(queue.state(), before);
  queue.resume();
  EXPECT_EQ(driver->take_used(), (RingDriver::Used{first, 0}));
  EXPECT_EQ(driver->take_used(), (RingDriver::Used{second, 7}));
  EXPECT_GE(owner.interrupts, 1);
}

TEST_P(VirtqueuePauseTest, AResetForgetsWhatWasGivenBackMeanwhile) {
  driver->offer({{kData, 16}});
  ASSERT_TRUE(queue.take(chain));
  queue.freeze();
  queue.give_back(chain, 0);
  queue.stop();
  queue.reset();
  begin();  // the driver has set it up anew
  queue.resume();
  EXPECT_FALSE(driver->take_used());
  EXPECT_EQ(owner.interrupts, 0);
  EXPECT_EQ(owner.error, "");
}

}  // namespace
}  // namespace vireo::devices::virtio
