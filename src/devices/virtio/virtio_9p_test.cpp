#include "devices/virtio/virtio_9p.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "backends/share/share_world.h"
#include "devices/virtio/pci_driver_world.h"

namespace vireo::devices::virtio {
namespace {

using backends::ClientMessage;
using backends::ninep::Kind;

struct Virtio9pTest : ::testing::Test {
  static constexpr std::uint64_t kRequest = 0x20000;

  void SetUp() override {
    folder.write("file", "text");
    start();
  }
  void start() {
    ASSERT_TRUE(driver.negotiate(feature::kVersion1 | 1));
    driver.set_up_queue(0, ring->set_up(), 0);
    driver.go();
    driver.run_posted();
  }
  /// Puts a message at `at` and offers it with `room` bytes for the answer behind it.
  void offer(const std::vector<std::byte>& message, std::uint64_t at, std::uint32_t room = 0x1000) {
    EXPECT_TRUE(world.memory->write(PhysAddr{at}, message));
    ring->offer({{at, static_cast<std::uint32_t>(message.size())}, {at + 0x4000, room, true}});
  }
  void kick() {
    driver.notify(0);
    driver.run_posted();
    model->drain();
  }
  /// The kind of the answer; 0: none came.
  unsigned call(const ClientMessage& message) {
    offer(message.bytes(), kRequest);
    kick();
    const auto used = ring->take_used();
    if (!used) return 0;
    EXPECT_EQ(world.get<std::uint32_t>(kRequest + 0x4000), used->length);
    return world.get<std::uint8_t>(kRequest + 0x4004);
  }
  void begin_session() {
    EXPECT_EQ(call(ClientMessage(Kind::kVersion)(65536u)("9P2000.L")), 101u);
    EXPECT_EQ(call(ClientMessage(Kind::kAttach)(0u)(~0u)("")("")(0u)), 105u);
  }
  const char* error() const { return driver.card->device().driver_error(); }

  backends::ShareFolder folder;
  DriverMemory world;
  std::unique_ptr<Virtio9p> model =
      std::make_unique<Virtio9p>(folder.open(), "files", *world.memory);
  Messages messages;  // interrupts come from the device's own threads
  PciDriver driver{*model, *world.memory, &messages};
  std::optional<SplitDriver> ring{std::in_place, world, std::uint16_t{32}, 0x10000u};
};

TEST_F(Virtio9pTest, TheTagIsInTheConfiguration) {
  EXPECT_EQ(driver.load<std::uint16_t>(PciDriver::kModern + VirtioPci::kConfig), 5);
  EXPECT_EQ(driver.load<std::uint32_t>(PciDriver::kModern + VirtioPci::kConfig + 2), 0x656c6966u);
  EXPECT_EQ(driver.load<std::uint16_t>(PciDriver::kModern + VirtioPci::kConfig + 6), 's');
}

TEST_F(Virtio9pTest, MessagesAreAnswered) {
  begin_session();
  EXPECT_EQ(call(ClientMessage(Kind::kWalk)(0u)(1u)(std::uint16_t{1})("file")), 111u);
  EXPECT_EQ(call(ClientMessage(Kind::kOpen)(1u)(0u)), 13u);
  EXPECT_EQ(call(ClientMessage(Kind::kRead)(1u)(std::uint64_t{0})(100u)), 117u);
  EXPECT_EQ(world.get<std::uint32_t>(kRequest + 0x4007), 4u);
  EXPECT_EQ(world.get<std::uint32_t>(kRequest + 0x400b), 0x74786574u);
  EXPECT_EQ(call(ClientMessage(Kind::kClunk)(9u)), 7u) << "an error is an answer";
}

TEST_F(Virtio9pTest, ManyRequestsAtOnceAllComeBack) {
  begin_session();
  for (std::uint16_t i = 0; i < 8; ++i) {
    const auto message = ClientMessage(Kind::kWalk, i)(0u)(10u + i)(std::uint16_t{1})("file");
    EXPECT_TRUE(world.memory->write(PhysAddr{0x20000 + i * 0x100u}, message.bytes()));
    ring->offer({{0x20000 + i * 0x100u, static_cast<std::uint32_t>(message.bytes().size())},
                 {0x24000 + i * 0x100u, 0x100, true}});
  }
  kick();
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(ring->take_used());
  for (std::uint16_t i = 0; i < 8; ++i) {
    EXPECT_EQ(world.get<std::uint8_t>(0x24004 + i * 0x100u), 111) << i;
    EXPECT_EQ(world.get<std::uint16_t>(0x24005 + i * 0x100u), i);
  }
}

/// While somebody else has a lease of a file, opening it waits.
struct Lease {
  explicit Lease(const std::string& path) : fd(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    ::signal(SIGIO, SIG_IGN);  // by which its holder is asked to give it back
    taken = ::fcntl(fd.get(), F_SETLEASE, F_WRLCK) == 0;
  }
  void give_back() const { ::fcntl(fd.get(), F_SETLEASE, F_UNLCK); }
  UniqueFd fd;
  bool taken = false;
};

TEST_F(Virtio9pTest, AFlushIsAnsweredBehindWhatItIsAbout) {
  constexpr std::uint64_t kFlush = 0x36000;
  begin_session();
  EXPECT_EQ(call(ClientMessage(Kind::kWalk)(0u)(1u)(std::uint16_t{1})("file")), 111u);
  const Lease lease(folder.shared("file"));
  if (!lease.taken) GTEST_SKIP() << "the file system of " << folder.path << " has no leases";
  offer(ClientMessage(Kind::kOpen, 5)(1u)(0u).bytes(), kRequest);
  offer(ClientMessage(Kind::kFlush, 6)(std::uint16_t{5}).bytes(), kFlush, 0x100);
  offer(ClientMessage(Kind::kFlush, 7)(std::uint16_t{99}).bytes(), kFlush + 0x100, 0x100);
  driver.notify(0);
  driver.run_posted();
  std::optional<RingDriver::Used> used;
  for (int i = 0; i < 60000 && !used; ++i) {
    used = ring->take_used();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(used);
  EXPECT_EQ(used->id, 10u) << "what is about nothing is answered at once";
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(ring->take_used());
  lease.give_back();
  model->drain();
  EXPECT_EQ(ring->take_used()->id, 6u);
  EXPECT_EQ(ring->take_used()->id, 8u);
  EXPECT_EQ(world.get<std::uint8_t>(kRequest + 0x4004), 13);
  EXPECT_EQ(world.get<std::uint8_t>(kFlush + 0x4004), 109);
  EXPECT_EQ(world.get<std::uint16_t>(kFlush + 0x4005), 6);
}

TEST_F(Virtio9pTest, WhatIsNoMessageNeedsAReset) {
  const auto good = ClientMessage(Kind::kVersion)(8192u)("9P2000.L").bytes();
  auto longer = good, shorter = good, huge = good;
  longer[0] = std::byte{0xff};
  shorter[0] = std::byte{6};
  huge[2] = std::byte{0x40};
  for (const auto& message :
       {longer, shorter, huge, std::vector<std::byte>(good.begin(), good.begin() + 6)}) {
    offer(message, kRequest);
    kick();
    EXPECT_FALSE(ring->take_used());
    EXPECT_NE(error(), nullptr);
    driver.set_common<std::uint8_t>(20, 0);
    EXPECT_EQ(error(), nullptr);
    ring.emplace(world, 32, 0x10000);
    for (std::uint64_t at = 0x10000; at < 0x13000; at += 8) world.put(at, std::uint64_t{0});
    start();
  }
}

TEST_F(Virtio9pTest, ARequestWithoutRoomForAnAnswerNeedsAReset) {
  offer(ClientMessage(Kind::kVersion)(8192u)("9P2000.L").bytes(), kRequest, 10);
  kick();
  EXPECT_FALSE(ring->take_used());
  EXPECT_NE(error(), nullptr);
}

TEST_F(Virtio9pTest, BuffersOutsideMemoryNeedAReset) {
  const auto message = ClientMessage(Kind::kVersion)(8192u)("9P2000.L").bytes();
  EXPECT_TRUE(world.memory->write(PhysAddr{kRequest}, message));
  ring->offer(
      {{kRequest, static_cast<std::uint32_t>(message.size())}, {DriverMemory::kEnd - 4, 64, true}});
  kick();
  EXPECT_NE(error(), nullptr);
}

TEST_F(Virtio9pTest, AResetForgetsTheFids) {
  begin_session();
  EXPECT_EQ(model->server().fids(), 1u);
  driver.set_common<std::uint8_t>(20, 0);
  EXPECT_EQ(model->server().fids(), 0u);
}

}  // namespace
}  // namespace vireo::devices::virtio
