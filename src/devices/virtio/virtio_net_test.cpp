#include "devices/virtio/virtio_net.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backends/network/offload.h"
#include "devices/virtio/fake_network.h"
#include "devices/virtio/pci_driver_world.h"
#include "devices/virtio/virtio_net_layout.h"

namespace vireo::devices::virtio {
namespace {

using backends::FrameHeader;
using backends::TakenFrames;
using Frame = FakeNetwork::Frame;

constexpr std::uint64_t kCommon = feature::kVersion1;
constexpr std::uint64_t kPlain = kCommon | net::kMac | net::kStatus;

Frame frame_to(std::initializer_list<int> address, std::size_t size = 60) {
  Frame frame(size);
  for (std::size_t i = 0; i < size; ++i) frame[i] = std::byte(i * 13 & 0xff);
  std::size_t at = 0;
  for (const int byte : address) frame[at++] = std::byte(byte);
  return frame;
}

/// TCP over IPv4, to be cut into segments.
Frame tcp_frame(std::size_t payload) {
  Frame frame = frame_to({2, 0, 0, 0, 0, 1}, 54 + payload);
  const auto put = [&](std::size_t at, std::initializer_list<int> bytes) {
    for (const int byte : bytes) frame[at++] = std::byte(byte);
  };
  put(12, {8, 0, 0x45, 0});
  put(20, {0, 0, 64, 6});
  put(46, {0x50, 0x18});
  return frame;
}
FrameHeader tcp_header(std::uint16_t segment_bytes) {
  return {FrameHeader::kNeedsChecksum, FrameHeader::kTcp4, 54, segment_bytes, 34, 16, 0};
}

struct VirtioNetTest : ::testing::Test {
  static constexpr std::uint64_t kData = 0x20000, kCommand = 0x3e000;

  void start(std::uint64_t features) {
    ASSERT_TRUE(driver.negotiate(features));
    driver.set_up_queue(0, receive.set_up(), 1);
    driver.set_up_queue(1, transmit.set_up(), 2);
    driver.set_up_queue(2, control.set_up(), 3);
    driver.go();
    driver.run_posted();
  }
  bool arrives(const Frame& frame, const FrameHeader& header = {}) {
    return network.reader->receive(header, frame);
  }
  void offer(const std::vector<DriverBuffer>& buffers) {
    receive.offer(buffers);
    driver.notify(0);
    driver.run_posted();
  }
  Frame guest_bytes(std::uint64_t at, std::size_t size) {
    Frame bytes(size);
    EXPECT_TRUE(world.memory->read(PhysAddr{at}, bytes));
    return bytes;
  }
  FrameHeader guest_header(std::uint64_t at) {
    FrameHeader header;
    std::memcpy(&header, guest_bytes(at, sizeof(header)).data(), sizeof(header));
    return header;
  }
  /// Header and frame in one piece at kData; then offered as `buffers`, or whole.
  void send(const FrameHeader& header, const Frame& frame, std::vector<DriverBuffer> buffers = {}) {
    world.put(kData, header);
    ASSERT_TRUE(world.memory->write(PhysAddr{kData + 12}, frame));
    if (buffers.empty()) buffers = {{kData, static_cast<std::uint32_t>(12 + frame.size())}};
    transmit.offer(buffers);
    driver.notify(1);
    driver.run_posted();
  }
  std::uint8_t command(const std::vector<std::uint8_t>& bytes) {
    EXPECT_TRUE(world.memory->write(PhysAddr{kCommand}, std::as_bytes(std::span(bytes))));
    world.put(kCommand + 0x1000, std::uint8_t{0xee});
    control.offer(
        {{kCommand, static_cast<std::uint32_t>(bytes.size())}, {kCommand + 0x1000, 1, true}});
    driver.notify(2);
    driver.run_posted();
    EXPECT_TRUE(control.take_used());
    return world.get<std::uint8_t>(kCommand + 0x1000);
  }
  bool needs_reset() { return driver.card->device().driver_error() != nullptr; }
  template <class T>
  T config(std::uint64_t offset) {
    return driver.load<T>(PciDriver::kModern + VirtioPci::kConfig + offset);
  }

  DriverMemory world;
  FakeNetwork network;
  VirtioNet model{network, *world.memory, {2, 0, 0, 0, 0, 1}};
  PciDriver driver{model, *world.memory};
  SplitDriver receive{world, 16, 0x10000}, transmit{world, 16, 0x14000}, control{world, 8, 0x18000};
};

TEST_F(VirtioNetTest, WhoNotifiesServesTheQueue) {
  start(feature::kVersion1);
  transmit.offer({{kData, 12 + 60}});
  driver.notify(1);
  EXPECT_EQ(network.sent.size(), 1u);
  EXPECT_TRUE(transmit.take_used());
  EXPECT_TRUE(driver.posted.empty());
}

TEST_F(VirtioNetTest, TheConfigurationHasAddressAndLink) {
  EXPECT_EQ(config<std::uint32_t>(0), 2u);
  EXPECT_EQ(config<std::uint16_t>(4), 0x100u);
  EXPECT_EQ(config<std::uint16_t>(6), 1u) << "the link is up";
  EXPECT_EQ(config<std::uint32_t>(12), 0u);
}

TEST_F(VirtioNetTest, AFrameComesInABufferBehindItsHeader) {
  start(kPlain);
  offer({{kData, 2000, true}});
  const Frame frame = frame_to({2, 0, 0, 0, 0, 1});
  EXPECT_TRUE(arrives(frame, {.flags = FrameHeader::kChecksumValid}));
  EXPECT_EQ(receive.take_used()->length, 72u);
  EXPECT_EQ(guest_header(kData), (FrameHeader{.buffers = 1})) << "of checksums it did not ask";
  EXPECT_EQ(guest_bytes(kData + 12, 60), frame);
}

TEST_F(VirtioNetTest, BuffersAreCutAsTheDriverLikes) {
  start(kPlain | net::kMergeBuffers);
  for (int i = 0; i < 3; ++i)
    offer({{kData + 0x100u * static_cast<unsigned>(i), 5, true},
           {kData + 0x1000 + 0x100u * static_cast<unsigned>(i), 20, true}});
  const Frame frame = frame_to({2, 0, 0, 0, 0, 1}, 51);
  EXPECT_TRUE(arrives(frame));
  EXPECT_EQ(receive.take_used()->length, 25u);
  EXPECT_EQ(receive.take_used()->length, 25u);
  EXPECT_EQ(receive.take_used()->length, 13u);
  Frame all;
  for (unsigned i = 0; i < 3; ++i) {
    for (const auto& [at, size] : {std::pair{kData + 0x100 * i, 5u},
                                   std::pair{kData + 0x1000 + 0x100 * i, i == 2 ? 8u : 20u}}) {
      const Frame part = guest_bytes(at, size);
      all.insert(all.end(), part.begin(), part.end());
    }
  }
  EXPECT_EQ(all[10], std::byte{3}) << "buffers";
  EXPECT_EQ(Frame(all.begin() + 12, all.end()), frame);
}

TEST_F(VirtioNetTest, AFrameWithoutBuffersWaitsWithTheNetwork) {
  start(kPlain | net::kMergeBuffers);
  const Frame frame = frame_to({2, 0, 0, 0, 0, 1}, 100);
  EXPECT_FALSE(arrives(frame));
  EXPECT_EQ(network.resumed, 0u);
  offer({{kData, 64, true}});
  EXPECT_EQ(network.resumed, 1u);
  EXPECT_FALSE(arrives(frame)) << "one buffer is not enough";
  offer({{kData + 64, 64, true}});
  EXPECT_EQ(network.resumed, 2u);
  EXPECT_TRUE(arrives(frame));
  EXPECT_EQ(guest_header(kData).buffers, 2u);
  offer({{kData, 64, true}});
  EXPECT_EQ(network.resumed, 2u) << "nothing waits any more";
}

TEST_F(VirtioNetTest, AFrameThatFitsIntoNoBufferIsLost) {
  start(kPlain);
  offer({{kData, 70, true}});
  EXPECT_TRUE(arrives(frame_to({2, 0, 0, 0, 0, 1}, 60)));
  EXPECT_FALSE(receive.take_used());
  EXPECT_TRUE(arrives(frame_to({2, 0, 0, 0, 0, 1}, 58)));
  EXPECT_EQ(receive.take_used()->length, 70u) << "the buffer is still there for one that does";
}

TEST_F(VirtioNetTest, BeforeADriverIsThereFramesAreLostAndNothingWaits) {
  EXPECT_TRUE(arrives(frame_to({2, 0, 0, 0, 0, 1})));
  start(kPlain);
  EXPECT_FALSE(arrives(frame_to({2, 0, 0, 0, 0, 1})));
  driver.set_common<std::uint8_t>(20, 0);
  EXPECT_EQ(network.resumed, 1u) << "what it kept may be lost now";
  EXPECT_TRUE(arrives(frame_to({2, 0, 0, 0, 0, 1})));
}

TEST_F(VirtioNetTest, ADriverThatFinishesFramesGetsThemUnfinished) {
  start(kPlain | net::kGuestChecksum | net::kGuestTso4 | net::kMergeBuffers);
  offer({{kData, 0x8000, true}});
  const Frame frame = tcp_frame(3000);
  EXPECT_TRUE(arrives(frame, tcp_header(1000)));
  FrameHeader expected = tcp_header(1000);
  expected.buffers = 1;
  EXPECT_EQ(guest_header(kData), expected);
  EXPECT_EQ(guest_bytes(kData + 12, frame.size()), frame);
}

TEST_F(VirtioNetTest, ADriverThatDoesNotGetsSegments) {
  start(kPlain | net::kGuestChecksum);
  offer({{kData, 2000, true}});
  offer({{kData + 0x1000, 2000, true}});
  const Frame frame = tcp_frame(2500);
  EXPECT_FALSE(arrives(frame, tcp_header(1000))) << "the third waits";
  EXPECT_EQ(receive.take_used()->length, 12u + 1054);
  EXPECT_EQ(receive.take_used()->length, 12u + 1054);
  offer({{kData + 0x2000, 2000, true}});
  EXPECT_TRUE(arrives(frame, tcp_header(1000)));
  EXPECT_EQ(receive.take_used()->length, 12u + 554) << "and is all that comes then";
  EXPECT_EQ(guest_header(kData + 0x2000),
            (FrameHeader{.flags = FrameHeader::kChecksumValid, .buffers = 1}));
  const Frame last = guest_bytes(kData + 0x2000 + 12 + 54, 500);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), frame.begin() + 54 + 2000));
}

TEST_F(VirtioNetTest, WithoutChecksumsEachFrameIsFinished) {
  start(kPlain);
  offer({{kData, 2000, true}});
  Frame frame = tcp_frame(100);
  FrameHeader header{.flags = FrameHeader::kNeedsChecksum, .checksum_start = 34};
  header.checksum_offset = 16;
  EXPECT_TRUE(arrives(frame, header));
  backends::finish_checksum(header, frame);
  EXPECT_EQ(guest_bytes(kData + 12, frame.size()), frame);
  EXPECT_EQ(guest_header(kData).flags, 0u);
}

TEST_F(VirtioNetTest, FramesOfTheNetworkThatLieAreLost) {
  start(kPlain | net::kGuestChecksum | net::kGuestTso4);
  offer({{kData, 2000, true}});
  EXPECT_TRUE(arrives(Frame(13)));
  EXPECT_TRUE(arrives(Frame(70000)));
  EXPECT_TRUE(arrives(tcp_frame(100), tcp_header(0)));
  EXPECT_TRUE(arrives(frame_to({2, 0, 0, 0, 0, 1}), tcp_header(100)));
  EXPECT_FALSE(receive.take_used());
}

TEST_F(VirtioNetTest, ABufferOutsideMemoryNeedsAReset) {
  start(kPlain);
  offer({{DriverMemory::kEnd - 4, 2000, true}});
  EXPECT_TRUE(arrives(frame_to({2, 0, 0, 0, 0, 1})));
  EXPECT_TRUE(needs_reset());
  EXPECT_TRUE(arrives(frame_to({2, 0, 0, 0, 0, 1}))) << "until then all is lost";
}

TEST_F(VirtioNetTest, AFrameOfTheGuestGoesOutWithItsHeader) {
  start(kPlain | net::kChecksum | net::kHostTso4);
  const Frame frame = tcp_frame(3000);
  send(tcp_header(1000), frame);
  ASSERT_EQ(network.sent.size(), 1u);
  EXPECT_EQ(network.sent[0].first, tcp_header(1000));
  EXPECT_EQ(network.sent[0].second, frame);
  EXPECT_EQ(transmit.take_used()->length, 0u);
}

TEST_F(VirtioNetTest, HeaderAndFrameMayBeCutAnywhere) {
  start(kPlain);
  const Frame frame = frame_to({2, 0, 0, 0, 0, 2}, 100);
  send({}, frame, {{kData, 3}, {kData + 3, 10}, {kData + 13, 1}, {kData + 14, 98}});
  ASSERT_EQ(network.sent.size(), 1u);
  EXPECT_EQ(network.sent[0].second, frame);
}

TEST_F(VirtioNetTest, ANetworkGetsNoMoreWorkThanItTakes) {
  start(kPlain | net::kChecksum | net::kHostTso4);
  network.taken = TakenFrames::kJumbo;
  send(tcp_header(1000), tcp_frame(2500));
  ASSERT_EQ(network.sent.size(), 1u);
  EXPECT_EQ(network.sent[0].first, FrameHeader{.flags = FrameHeader::kChecksumValid});
  network.sent.clear();
  network.taken = TakenFrames::kPlain;
  send(tcp_header(1000), tcp_frame(2500));
  ASSERT_EQ(network.sent.size(), 3u);
  EXPECT_EQ(network.sent[2].first, FrameHeader{});
  EXPECT_EQ(network.sent[2].second.size(), 54u + 500);
}

TEST_F(VirtioNetTest, WhileTheNetworkIsFullFramesStayWithTheDriver) {
  start(kPlain | net::kChecksum | net::kHostTso4);
  network.taken = TakenFrames::kPlain;
  network.room = 1;
  send(tcp_header(1000), tcp_frame(2500));
  send({}, frame_to({2, 0, 0, 0, 0, 3}));
  EXPECT_EQ(network.sent.size(), 1u);
  EXPECT_TRUE(transmit.take_used()) << "the one that waits here is copied";
  EXPECT_FALSE(transmit.take_used());
  network.room = 100;
  network.reader->on_writable();
  driver.run_posted();
  ASSERT_EQ(network.sent.size(), 4u);
  EXPECT_EQ(network.sent[2].second.size(), 554u);
  EXPECT_EQ(network.sent[3].second, frame_to({2, 0, 0, 0, 0, 3}));
  EXPECT_TRUE(transmit.take_used());
}

TEST_F(VirtioNetTest, AResetForgetsTheFrameThatWaits) {
  start(kPlain);
  network.room = 0;
  send({}, frame_to({2, 0, 0, 0, 0, 3}));
  driver.set_common<std::uint8_t>(20, 0);
  network.room = 10;
  network.reader->on_writable();
  driver.run_posted();
  EXPECT_TRUE(network.sent.empty());
}

TEST_F(VirtioNetTest, FramesOfTheGuestThatLieAreLost) {
  start(kPlain | net::kChecksum | net::kHostTso4);
  send({}, Frame(13));
  send({}, Frame(66000));
  send(tcp_header(0), tcp_frame(100));
  FrameHeader header = tcp_header(100);
  header.segmentation |= FrameHeader::kEcn;
  send(header, tcp_frame(100));
  header.segmentation = FrameHeader::kTcp6;
  send(header, tcp_frame(100));
  header = {.flags = FrameHeader::kNeedsChecksum, .checksum_start = 0xfff0};
  send(header, tcp_frame(100));
  EXPECT_TRUE(network.sent.empty());
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(transmit.take_used()) << i;
  EXPECT_FALSE(needs_reset());
}

TEST_F(VirtioNetTest, WhatWasNotAgreedOnIsNotDone) {
  start(kPlain);
  FrameHeader header{.flags = 0xff, .checksum_start = 0xfff0};
  send(header, frame_to({2, 0, 0, 0, 0, 2}));
  ASSERT_EQ(network.sent.size(), 1u);
  EXPECT_EQ(network.sent[0].first.flags, 0u);
  send(tcp_header(100), tcp_frame(200));
  EXPECT_EQ(network.sent.size(), 1u);
}

TEST_F(VirtioNetTest, AFrameWithoutItsHeaderNeedsAReset) {
  start(kPlain);
  send({}, frame_to({2, 0, 0, 0, 0, 2}), {{kData, 11}});
  EXPECT_TRUE(needs_reset());
}

TEST_F(VirtioNetTest, AFrameOutsideMemoryNeedsAReset) {
  start(kPlain);
  send({}, frame_to({2, 0, 0, 0, 0, 2}), {{kData, 12}, {DriverMemory::kEnd - 4, 100}});
  EXPECT_TRUE(needs_reset());
  EXPECT_TRUE(network.sent.empty());
}

TEST_F(VirtioNetTest, ADriverOfBefore10HasAShorterHeader) {
  driver.out<std::uint8_t>(18, 3);
  driver.out<std::uint32_t>(4, static_cast<std::uint32_t>(net::kMac | net::kStatus));
  SplitDriver old{world, VirtioNet::kQueueSize, 0x60000};
  driver.out<std::uint16_t>(14, 1);
  driver.out<std::uint32_t>(8, 0x60);
  driver.out<std::uint8_t>(18, 7);
  driver.run_posted();
  const Frame frame = frame_to({2, 0, 0, 0, 0, 2});
  ASSERT_TRUE(world.memory->write(PhysAddr{kData + 10}, frame));
  old.describe(0x60000, {kData, 70}, 0, 0);
  world.put(0x60000 + 256 * 16 + 4, std::uint16_t{0});
  world.store(0x60000 + 256 * 16 + 2, 1);
  driver.out<std::uint16_t>(16, 1);
  driver.run_posted();
  ASSERT_EQ(network.sent.size(), 1u);
  EXPECT_EQ(network.sent[0].second, frame);
}

struct NetControlTest : VirtioNetTest {
  void SetUp() override {
    start(kPlain | net::kControlQueue | net::kControlReceive | net::kControlReceiveExtra |
          net::kControlMac);
    for (int i = 0; i < 12; ++i) offer({{kData, 100, true}});
  }
  bool hears(std::initializer_list<int> address) {
    EXPECT_TRUE(arrives(frame_to(address)));
    return receive.take_used().has_value();
  }
};

TEST_F(NetControlTest, ACardHearsAllUntilItIsToldOtherwise) {
  EXPECT_TRUE(hears({2, 0, 0, 0, 0, 9}));
  EXPECT_EQ(command({0, 0, 0}), net::kOk);
  EXPECT_FALSE(hears({2, 0, 0, 0, 0, 9}));
  EXPECT_TRUE(hears({2, 0, 0, 0, 0, 1})) << "its own address";
  EXPECT_TRUE(hears({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(hears({0x33, 0x33, 0, 0, 0, 1}));
  EXPECT_EQ(command({0, 1, 1}), net::kOk);
  EXPECT_TRUE(hears({0x33, 0x33, 0, 0, 0, 1})) << "all groups";
  EXPECT_EQ(command({0, 3, 1}), net::kOk);
  EXPECT_FALSE(hears({0x33, 0x33, 0, 0, 0, 1})) << "none of them";
  EXPECT_EQ(command({0, 5, 1}), net::kOk);
  EXPECT_FALSE(hears({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_EQ(command({0, 2, 1}), net::kOk);
  EXPECT_TRUE(hears({2, 0, 0, 0, 0, 9})) << "all single ones";
  EXPECT_EQ(command({0, 4, 1}), net::kOk);
  EXPECT_FALSE(hears({2, 0, 0, 0, 0, 9}));
}

TEST_F(NetControlTest, TablesNameWhatElseItHears) {
  EXPECT_EQ(command({0, 0, 0}), net::kOk);
  EXPECT_EQ(command({1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 5}),
            net::kOk);
  EXPECT_TRUE(hears({2, 0, 0, 0, 0, 7}));
  EXPECT_FALSE(hears({2, 0, 0, 0, 0, 8}));
  EXPECT_TRUE(hears({0x33, 0x33, 0, 0, 0, 5}));
  EXPECT_FALSE(hears({0x33, 0x33, 0, 0, 0, 6}));
  std::vector<std::uint8_t> many{1, 0, 0, 0, 0, 0, 65, 0, 0, 0};
  many.resize(many.size() + 65 * 6);
  EXPECT_EQ(command(many), net::kOk);
  EXPECT_TRUE(hears({0x33, 0x33, 0, 0, 0, 6})) << "too many to be told apart";
  EXPECT_FALSE(hears({2, 0, 0, 0, 0, 7}));
}

TEST_F(NetControlTest, TablesThatLieAreAnErrorAndChangeNothing) {
  EXPECT_EQ(command({0, 0, 0}), net::kOk);
  EXPECT_EQ(command({1, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0}), net::kError);
  EXPECT_EQ(command({1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 7}), net::kError);
  EXPECT_EQ(command({1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), net::kError);
  EXPECT_FALSE(hears({2, 0, 0, 0, 0, 7}));
}

TEST_F(NetControlTest, TheAddressIsTheDriversToChooseUntilReset) {
  EXPECT_EQ(command({0, 0, 0}), net::kOk);
  EXPECT_EQ(command({1, 1, 2, 0, 0, 0, 0, 8}), net::kOk);
  EXPECT_TRUE(hears({2, 0, 0, 0, 0, 8}));
  EXPECT_FALSE(hears({2, 0, 0, 0, 0, 1}));
  EXPECT_EQ(config<std::uint16_t>(4), 0x800u);
  driver.set_common<std::uint8_t>(20, 0);
  EXPECT_EQ(config<std::uint16_t>(4), 0x100u);
}

TEST_F(NetControlTest, UnknownCommandsAreAnError) {
  EXPECT_EQ(command({0, 6, 0}), net::kError);
  EXPECT_EQ(command({0, 0}), net::kError);
  EXPECT_EQ(command({1, 1, 0}), net::kError);
  EXPECT_EQ(command({1, 2, 0}), net::kError);
  EXPECT_EQ(command({4, 0, 1, 0}), net::kError);
  EXPECT_EQ(command(std::vector<std::uint8_t>(5000)), net::kError);
}

TEST_F(NetControlTest, ACommandWithoutRoomForTheAnswerNeedsAReset) {
  control.offer({{kCommand, 3}});
  driver.notify(2);
  driver.run_posted();
  EXPECT_TRUE(needs_reset());
}

}  // namespace
}  // namespace vireo::devices::virtio
