// A network card with several pairs of queues.
#include <gtest/gtest.h>

#include <cstring>

#include "devices/virtio/driver_queues.h"
#include "devices/virtio/fake_network.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_net_layout.h"

namespace vireo::devices::virtio {
namespace {

using Frame = FakeNetwork::Frame;

constexpr std::uint64_t kPlain = feature::kVersion1 | net::kMac | net::kControlQueue;

/// UDP over IPv4 between two ports of two machines.
Frame datagram(int from_port, int to_port, bool to_guest) {
  Frame frame(60);
  const auto put = [&](std::size_t at, std::initializer_list<int> bytes) {
    for (const int byte : bytes) frame[at++] = std::byte(byte);
  };
  put(0, {2, 0, 0, 0, 0, 1});
  put(12, {8, 0, 0x45});
  put(23, {17});
  put(26, {10, 0, 0, to_guest ? 1 : 2, 10, 0, 0, to_guest ? 2 : 1});
  put(34, {from_port >> 8, from_port & 0xff, to_port >> 8, to_port & 0xff});
  return frame;
}

struct VirtioNetQueuesTest : ::testing::Test {
  static constexpr unsigned kPairs = 3;
  static constexpr std::uint64_t kData = 0x30000, kCommand = 0x3e000;

  void start(std::uint64_t features, unsigned pairs = kPairs) {
    queues.start(features);
    for (unsigned pair = 0; pair < pairs; ++pair) offer(2 * pair);
  }
  void offer(unsigned queue) { queues.offer(queue, {{0x50000 + queue * 0x1000, 0x800, true}}); }
  void send(unsigned pair, const Frame& frame) {
    world.put(kData, backends::FrameHeader{});
    ASSERT_TRUE(world.memory->write(PhysAddr{kData + 12}, frame));
    queues.offer(2 * pair + 1, {{kData, static_cast<std::uint32_t>(12 + frame.size())}});
  }
  std::uint8_t set_pairs(unsigned control, const std::vector<std::uint8_t>& value) {
    std::vector<std::uint8_t> bytes{net::kQueuesClass, net::kSetPairs};
    bytes.insert(bytes.end(), value.begin(), value.end());
    EXPECT_TRUE(world.memory->write(PhysAddr{kCommand}, std::as_bytes(std::span(bytes))));
    queues.offer(control, {{kCommand, static_cast<std::uint32_t>(bytes.size())},
                           {kCommand + 0x1000, 1, true}});
    EXPECT_TRUE(queues[control].take_used());
    return world.get<std::uint8_t>(kCommand + 0x1000);
  }
  /// The pair where the frame arrives; kPairs: nowhere.
  unsigned arrives_at(const Frame& frame) {
    EXPECT_TRUE(network.reader->receive({}, frame));
    for (unsigned pair = 0; pair < kPairs; ++pair) {
      if (!queues[2 * pair].take_used()) continue;
      offer(2 * pair);
      return pair;
    }
    return kPairs;
  }

  DriverMemory world;
  FakeNetwork network;
  VirtioNet model{network, *world.memory, {2, 0, 0, 0, 0, 1}, kPairs};
  PciDriver driver{model, *world.memory};
  DriverQueues queues{driver, world};
};

TEST_F(VirtioNetQueuesTest, TheDriverIsToldOfAllPairs) {
  EXPECT_EQ(model.queue_count(), 7u);
  EXPECT_NE(model.features() & net::kMultiQueue, 0u);
  EXPECT_EQ(driver.load<std::uint16_t>(PciDriver::kModern + VirtioPci::kConfig + 8), kPairs);
  EXPECT_EQ(VirtioNet(network, *world.memory, {}).features() & net::kMultiQueue, 0u);
}

TEST_F(VirtioNetQueuesTest, FramesComeWhereTheirFlowIsSentFrom) {
  start(kPlain | net::kMultiQueue);
  ASSERT_EQ(set_pairs(6, {kPairs, 0}), net::kOk);
  EXPECT_EQ(arrives_at(datagram(80, 1000, true)), 0u) << "nothing is known of it";
  send(2, datagram(1000, 80, false));
  send(1, datagram(1001, 80, false));
  EXPECT_EQ(network.sent.size(), 2u);
  EXPECT_EQ(arrives_at(datagram(80, 1000, true)), 2u);
  EXPECT_EQ(arrives_at(datagram(80, 1001, true)), 1u);
  send(0, datagram(1000, 80, false));
  EXPECT_EQ(arrives_at(datagram(80, 1000, true)), 0u) << "the guest has moved it";
}

TEST_F(VirtioNetQueuesTest, OnlyThePairsThatTheDriverWantsAreUsed) {
  start(kPlain | net::kMultiQueue);
  send(2, datagram(1000, 80, false));
  EXPECT_EQ(arrives_at(datagram(80, 1000, true)), 0u) << "one, until it says so";
  ASSERT_EQ(set_pairs(6, {2, 0}), net::kOk);
  EXPECT_LT(arrives_at(datagram(80, 1000, true)), 2u);
  for (const auto& value :
       std::vector<std::vector<std::uint8_t>>{{0, 0}, {kPairs + 1, 0}, {1, 1}, {1}, {1, 0, 0}})
    EXPECT_EQ(set_pairs(6, value), net::kError);
  ASSERT_EQ(set_pairs(6, {kPairs, 0}), net::kOk);
  EXPECT_EQ(arrives_at(datagram(80, 1000, true)), 2u);
}

TEST_F(VirtioNetQueuesTest, AResetForgetsWhatTheDriverWanted) {
  start(kPlain | net::kMultiQueue);
  ASSERT_EQ(set_pairs(6, {kPairs, 0}), net::kOk);
  send(2, datagram(1000, 80, false));
  const auto restart = [&] {
    driver.set_common<std::uint8_t>(20, 0);
    EXPECT_TRUE(network.reader->receive({}, datagram(80, 1000, true))) << "nobody is there";
    start(kPlain | net::kMultiQueue);
  };
  restart();
  ASSERT_EQ(set_pairs(6, {kPairs, 0}), net::kOk);
  EXPECT_EQ(arrives_at(datagram(80, 1000, true)), 0u) << "where it was sent from";
  restart();
  send(2, datagram(1000, 80, false));
  EXPECT_EQ(arrives_at(datagram(80, 1000, true)), 0u) << "how many pairs there were";
}

TEST_F(VirtioNetQueuesTest, ADriverThatKnowsOfOnePairHasItsControlQueueBehindIt) {
  start(kPlain, 1);
  EXPECT_EQ(set_pairs(2, {1, 0}), net::kError);
  queues.offer(3, {{kData, 72}});
  EXPECT_FALSE(queues[3].take_used()) << "there is no such queue for it";
  EXPECT_EQ(driver.card->device().driver_error(), nullptr);
}

TEST_F(VirtioNetQueuesTest, AFullNetworkHoldsUpAllPairsAndLosesNothing) {
  start(kPlain | net::kMultiQueue);
  network.room = 0;
  for (unsigned pair = 0; pair < kPairs; ++pair)
    send(pair, datagram(1000 + static_cast<int>(pair), 80, false));
  EXPECT_TRUE(network.sent.empty());
  network.room = 10;
  network.reader->on_writable();
  driver.run_posted();
  EXPECT_EQ(network.sent.size(), kPairs);
}

TEST_F(VirtioNetQueuesTest, BuffersInAnyPairLetTheNetworkGoOn) {
  start(kPlain | net::kMultiQueue);
  ASSERT_EQ(set_pairs(6, {kPairs, 0}), net::kOk);
  send(1, datagram(1000, 80, false));
  EXPECT_TRUE(network.reader->receive({}, datagram(80, 1000, true)));
  EXPECT_FALSE(network.reader->receive({}, datagram(80, 1000, true))) << "pair 1 has no buffer";
  const unsigned before = network.resumed;
  offer(2);
  EXPECT_EQ(network.resumed, before + 1);
  EXPECT_TRUE(network.reader->receive({}, datagram(80, 1000, true)));
}

}  // namespace
}  // namespace vireo::devices::virtio
