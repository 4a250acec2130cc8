// A machine that is paused: its devices leave guest memory alone.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <optional>
#include <thread>

#include "backends/character/char_backend.h"
#include "devices/virtio/fake_disk.h"
#include "devices/virtio/fake_network.h"
#include "devices/virtio/pci_driver_world.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_block.h"
#include "devices/virtio/virtio_block_layout.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_net_layout.h"

namespace vireo::devices::virtio {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kHeader = 0x20000, kData = 0x21000, kStatus = 0x30000;

struct PausedDiskTest : ::testing::Test {
  void SetUp() override {
    ASSERT_TRUE(driver.negotiate(feature::kVersion1));
    driver.set_up_queue(0, ring.set_up(), 1);
    driver.go();
    driver.run_posted();
  }
  VirtioDevice& device() { return driver.card->device(); }
  void offer() {
    world.put(kHeader, block::Header{block::kIn, 0, 0});
    world.put(kStatus, std::uint8_t{0xee});
    ring.offer({{kHeader, sizeof(block::Header)}, {kData, 512, true}, {kStatus, 1, true}});
    driver.notify(0);
  }

  DriverMemory world;
  FakeDisk disk{1 << 16};
  VirtioBlock model{disk, *world.memory, {}};
  PciDriver driver{model, *world.memory};
  SplitDriver ring{world, 8, 0x10000};
};

TEST_F(PausedDiskTest, ItIsNotServedUntilItResumes) {
  device().pause();
  offer();
  driver.run_posted();
  EXPECT_EQ(disk.log, "");
  EXPECT_FALSE(ring.take_used());
  device().resume();
  driver.run_posted();
  EXPECT_EQ(disk.log, "r");
  EXPECT_TRUE(ring.take_used());
  offer();
  driver.run_posted();
  EXPECT_TRUE(ring.take_used()) << "later notifications are heard";
}

TEST_F(PausedDiskTest, WhatCameBeforeThePauseAndWasNotServedYetIsServedAfterwards) {
  offer();  // the I/O thread has not looked
  device().pause();
  driver.run_posted();
  EXPECT_EQ(disk.log, "");
  device().resume();
  driver.run_posted();
  EXPECT_TRUE(ring.take_used());
}

TEST_F(PausedDiskTest, APauseWaitsForRequestsUnderWay) {
  disk.held = true;
  offer();
  driver.run_posted();
  auto paused = std::async(std::launch::async, [&] { device().pause(); });
  EXPECT_EQ(paused.wait_for(50ms), std::future_status::timeout);
  EXPECT_FALSE(ring.take_used());
  disk.run();
  paused.get();
  EXPECT_TRUE(ring.take_used()) << "it was done before the pause";
  EXPECT_EQ(world.get<std::uint8_t>(kStatus), block::kOk);
}

TEST_F(PausedDiskTest, AResetDoesNotEndThePause) {
  device().pause();
  device().reset();
  ring.start_at(0);
  SetUp();
  offer();
  driver.run_posted();
  EXPECT_EQ(disk.log, "");
  device().resume();
  driver.run_posted();
  EXPECT_EQ(disk.log, "r");
}

TEST_F(PausedDiskTest, NotificationsAndInterruptsAreCounted) {
  const VirtioCounters before = device().counters();
  for (int i = 0; i < 3; ++i) {
    offer();
    driver.run_posted();
  }
  EXPECT_EQ(device().counters().notifications, before.notifications + 3);
  EXPECT_EQ(device().counters().interrupts, before.interrupts + 3);
  device().pause();
  device().resume();
  driver.run_posted();
  EXPECT_EQ(device().counters().notifications, before.notifications + 3) << "only the driver's";
}

/// Takes what it can get while it settles.
class GreedyModel final : public VirtioModel {
 public:
  VirtioKind kind() const override { return {99, 0, 0xff0000, "greedy"}; }
  unsigned queue_count() const override { return 1; }
  std::uint16_t queue_size() const override { return 8; }
  std::uint64_t features() const override { return 0; }
  void read_config(std::uint64_t, std::span<std::byte>) const override {}
  void write_config(std::uint64_t, std::span<const std::byte>) override {}
  void start(std::uint64_t) override {}
  void drain() override {}
  void settle() override {
    Chain chain;
    taken = queue_->take(chain);
  }
  void reset() override {}
  void serve(Virtqueue& queue) override { queue_ = &queue; }

  std::optional<bool> taken;

 private:
  Virtqueue* queue_ = nullptr;
};

TEST(PausedDevice, ItTakesNothingWhileItSettles) {
  DriverMemory world;
  GreedyModel model;
  PciDriver driver{model, *world.memory};
  SplitDriver ring{world, 8, 0x10000};
  ASSERT_TRUE(driver.negotiate(feature::kVersion1));
  driver.set_up_queue(0, ring.set_up(), 0);
  driver.go();
  driver.run_posted();
  ring.offer({{kData, 16}});
  driver.card->device().pause();
  EXPECT_EQ(model.taken, false);
}

struct PausedCardTest : ::testing::Test {
  void SetUp() override {
    ASSERT_TRUE(driver.negotiate(feature::kVersion1));
    driver.set_up_queue(0, receive.set_up(), 1);
    driver.set_up_queue(1, transmit.set_up(), 2);
    driver.go();
    driver.run_posted();
  }
  bool arrives() { return network.reader->receive({}, std::vector<std::byte>(60)); }
  void offer_buffer() {
    receive.offer({{kData, 2000, true}});
    driver.notify(0);
    driver.run_posted();
  }
  void send(std::uint32_t size) {
    transmit.offer({{kHeader, size}});
    driver.notify(1);
    driver.run_posted();
  }

  DriverMemory world;
  FakeNetwork network;
  VirtioNet model{network, *world.memory, {0, 0, 0, 0, 0, 0}};
  PciDriver driver{model, *world.memory};
  SplitDriver receive{world, 16, 0x10000}, transmit{world, 16, 0x14000};
};

TEST_F(PausedCardTest, FramesForTheGuestWait) {
  offer_buffer();
  driver.card->device().pause();
  EXPECT_FALSE(arrives());
  EXPECT_FALSE(receive.take_used());
  const unsigned before = network.resumed;
  driver.card->device().resume();
  driver.run_posted();
  EXPECT_GT(network.resumed, before) << "the network is told to offer the frame again";
  EXPECT_TRUE(arrives());
  EXPECT_TRUE(receive.take_used());
}

TEST_F(PausedCardTest, FramesOfTheGuestWait) {
  driver.card->device().pause();
  send(12 + 60);
  EXPECT_TRUE(network.sent.empty());
  driver.card->device().resume();
  driver.run_posted();
  EXPECT_EQ(network.sent.size(), 1u);
}

TEST_F(PausedCardTest, WhatPassesIsCounted) {
  EXPECT_EQ(model.counters(), NetworkCounters{});
  offer_buffer();
  EXPECT_TRUE(arrives());
  send(12 + 100);
  EXPECT_EQ(model.counters(), (NetworkCounters{1, 100, 1, 60, 0}));
  EXPECT_FALSE(arrives()) << "no buffer: the network keeps it";
  EXPECT_EQ(model.counters(), (NetworkCounters{1, 100, 1, 60, 0}));
  send(12 + 5);  // too short for a frame
  receive.offer({{kData, 20, true}});
  EXPECT_TRUE(arrives()) << "it fits into no buffer";
  EXPECT_EQ(model.counters(), (NetworkCounters{1, 100, 1, 60, 2}));
}

TEST(PausedBalloon, ItKeepsTheBufferForStatistics) {
  DriverMemory world;
  VirtioBalloon model(*world.memory, 0);
  PciDriver driver{model, *world.memory};
  SplitDriver inflate{world, 8, 0x4000}, deflate{world, 8, 0x8000}, statistics{world, 8, 0xc000};
  ASSERT_TRUE(driver.negotiate(feature::kVersion1 | balloon::kStatistics));
  driver.set_up_queue(0, inflate.set_up(), 0);
  driver.set_up_queue(1, deflate.set_up(), 0);
  driver.set_up_queue(2, statistics.set_up(), 0);
  driver.go();
  statistics.offer({{kData, balloon::kStatisticBytes}});
  driver.notify(2);
  driver.run_posted();
  driver.card->device().pause();
  EXPECT_FALSE(statistics.take_used());
  model.request_statistics();
  EXPECT_FALSE(statistics.take_used());
  driver.card->device().resume();
  EXPECT_TRUE(statistics.take_used());
}

/// A terminal that takes nothing until it is let go.
class StuckTerminal final : public backends::CharBackend {
 public:
  void write(std::span<const std::uint8_t>) override { let_go.get_future().wait(); }
  std::promise<void> let_go;
};

TEST(PausedConsole, ATerminalThatIsStuckHoldsNoPauseUp) {
  DriverMemory world;
  StuckTerminal terminal;
  VirtioConsole model(&terminal, {}, *world.memory);
  PciDriver driver{model, *world.memory};
  SplitDriver input{world, 8, 0x4000}, output{world, 8, 0x8000};
  ASSERT_TRUE(driver.negotiate(feature::kVersion1));
  driver.set_up_queue(0, input.set_up(), 0);
  driver.set_up_queue(1, output.set_up(), 0);
  driver.go();
  output.offer({{kData, 10}});
  driver.notify(1);
  driver.run_posted();
  driver.card->device().pause();
  terminal.let_go.set_value();
  std::this_thread::sleep_for(30ms);
  EXPECT_FALSE(output.take_used());
  driver.card->device().resume();
  for (int i = 0; i < 60000; ++i) {
    if (output.take_used()) return;
    std::this_thread::sleep_for(1ms);
  }
  FAIL() << "the output was not given back";
}

}  // namespace
}  // namespace vireo::devices::virtio
