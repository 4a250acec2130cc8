#include "devices/virtio/virtio_pci.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "devices/virtio/pci_driver_world.h"
#include "support/saved_state.h"

namespace vireo::devices::virtio {
namespace {

using ::testing::ElementsAre, ::testing::IsEmpty;

constexpr std::uint64_t kOwnFeature = 1 << 3;
constexpr std::uint64_t kModernFeatures = kOwnFeature | feature::kVersion1;

/// Gives every request back with the number of its readable bytes; holds back those of queue 1.
struct Echo final : VirtioModel {
  VirtioKind kind() const override { return {4, 0x1005, 0x00ff00, "echo"}; }
  unsigned queue_count() const override { return 3; }
  std::uint16_t queue_size() const override { return 16; }
  std::uint64_t features() const override { return kOwnFeature; }
  void read_config(std::uint64_t offset, std::span<std::byte> data) const override {
    for (std::size_t i = 0; i < data.size(); ++i)
      data[i] = offset + i < 8 ? std::byte(0xa0 + offset + i) : std::byte{0};
  }
  void write_config(std::uint64_t offset, std::span<const std::byte> data) override {
    written = offset << 8 | data.size();
  }
  void start(std::uint64_t features) override { started = features; }
  void drain() override { ++drains; }
  void reset() override { started = 0; }
  void serve(Virtqueue& queue) override {
    served.push_back(queue.index());
    queue.serve([&](Chain& chain) {
      if (queue.index() != 1)
        queue.give_back(chain, static_cast<std::uint32_t>(chain.readable_bytes()));
    });
  }
  std::uint64_t started = 0, written = 0;
  int drains = 0;
  std::vector<unsigned> served;
};

struct VirtioPciTest : ::testing::Test {
  static constexpr std::uint64_t kRing = 0x10000, kData = 0x20000;

  /// A modern driver that uses the first queue, and the configuration interrupt.
  void start(std::uint64_t features = kModernFeatures) {
    ASSERT_TRUE(driver.negotiate(features));
    driver.set_common<std::uint16_t>(16, 0);
    driver.set_up_queue(0, ring.set_up(), 1);
    driver.go();
    driver.run_posted();
    model.served.clear();
  }

  DriverMemory world;
  Echo model;
  PciDriver driver{model, *world.memory};
  SplitDriver ring{world, 8, kRing};
};

TEST_F(VirtioPciTest, ADriverFindsItsRegistersByTheCapabilities) {
  EXPECT_EQ(driver.config_get(0x00), 0x10051af4u);
  EXPECT_EQ(driver.config_get(0x2c), 0x00041af4u);
  EXPECT_EQ(driver.config_get(0x08, 1), 0u) << "revision 0: transitional";
  std::map<unsigned, std::array<std::uint32_t, 3>> found;
  for (unsigned at = driver.config_get(0x34, 1); at != 0; at = driver.config_get(at + 1, 1)) {
    if (driver.config_get(at, 1) != 0x09) continue;
    EXPECT_GE(driver.config_get(at + 2, 1), 16u);
    found[driver.config_get(at + 3, 1)] = {driver.config_get(at + 4, 1), driver.config_get(at + 8),
                                           driver.config_get(at + 12)};
    if (driver.config_get(at + 3, 1) == 2) EXPECT_EQ(driver.config_get(at + 16), 4u);
  }
  EXPECT_EQ(found.size(), 5u);
  EXPECT_EQ(found.at(1), (std::array<std::uint32_t, 3>{4, 0x0000, 56}));
  EXPECT_EQ(found.at(2), (std::array<std::uint32_t, 3>{4, 0x3000, 12}));
  EXPECT_EQ(found.at(3), (std::array<std::uint32_t, 3>{4, 0x1000, 1}));
  EXPECT_EQ(found.at(4)[1], 0x2000u);
}

TEST_F(VirtioPciTest, FeaturesAreAgreedOn) {
  const std::uint64_t offered = driver.offered();
  EXPECT_EQ(offered & kModernFeatures, kModernFeatures);
  EXPECT_EQ(offered & feature::kPacked, feature::kPacked);
  EXPECT_TRUE(driver.negotiate(kModernFeatures));
  EXPECT_FALSE(driver.negotiate(kModernFeatures | 1 << 4)) << "not offered";
  EXPECT_FALSE(driver.negotiate(kOwnFeature)) << "a modern driver must say so";
  EXPECT_TRUE(driver.negotiate(offered));
  driver.set_common<std::uint32_t>(12, 0);  // too late
  EXPECT_EQ(driver.card->device().driver_features(), offered);
}

TEST_F(VirtioPciTest, TheDeviceStartsWithDriverOk) {
  ASSERT_TRUE(driver.negotiate(kModernFeatures));
  driver.set_up_queue(0, ring.set_up(), 1);
  ring.offer({{kData, 9}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_FALSE(ring.take_used()) << "not yet";
  driver.go();
  EXPECT_EQ(model.started, kModernFeatures);
  driver.run_posted();
  EXPECT_EQ(ring.take_used(), (RingDriver::Used{0, 9}));
}

TEST_F(VirtioPciTest, QueuesAreServedByTheIoThreadAlone) {
  start();
  ring.offer({{kData, 9}});
  driver.notify(0);
  driver.notify(0);
  EXPECT_THAT(model.served, IsEmpty());
  EXPECT_EQ(driver.posted.size(), 1u) << "one wake-up is enough";
  driver.run_posted();
  EXPECT_THAT(model.served, ElementsAre(0u));
  driver.notify(2);
  driver.notify(63);  // there is none
  driver.run_posted();
  EXPECT_THAT(model.served, ElementsAre(0u, 2u));
}

TEST_F(VirtioPciTest, ItsPinFollowsTheIsrWhileMsixIsOff) {
  start();
  ring.offer({{kData, 9}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_TRUE(driver.pirqs.level);
  EXPECT_THAT(driver.sink.sent, IsEmpty());
  EXPECT_EQ(driver.load<std::uint8_t>(PciDriver::kModern + VirtioPci::kIsr), 1u);
  EXPECT_FALSE(driver.pirqs.level);
  EXPECT_EQ(driver.load<std::uint8_t>(PciDriver::kModern + VirtioPci::kIsr), 0u);
}

TEST_F(VirtioPciTest, ThePinIsLetGoWhenMsixTakesOver) {
  start();
  ring.offer({{kData, 9}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_TRUE(driver.pirqs.level);
  driver.enable_msix();
  EXPECT_FALSE(driver.pirqs.level);
}

TEST_F(VirtioPciTest, EachQueueHasItsMessage) {
  driver.enable_msix();
  start();
  SplitDriver other{world, 8, 0x30000};
  driver.set_up_queue(2, other.set_up(), 3);
  other.offer({{kData, 1}});
  driver.notify(2);
  ring.offer({{kData, 1}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_THAT(driver.sink.sent, ElementsAre(0x41u, 0x43u));
  EXPECT_FALSE(driver.pirqs.level);
}

TEST_F(VirtioPciTest, AVectorThatIsNotThereReadsAsNone) {
  driver.set_common<std::uint16_t>(22, 0);
  driver.set_common<std::uint16_t>(26, 4);
  EXPECT_EQ(driver.common<std::uint16_t>(26), 0xffffu);
  driver.set_common<std::uint16_t>(26, 3);
  EXPECT_EQ(driver.common<std::uint16_t>(26), 3u);
  driver.set_common<std::uint16_t>(16, 9);
  EXPECT_EQ(driver.common<std::uint16_t>(16), 0xffffu);
}

TEST_F(VirtioPciTest, AQueueThatIsNotThereHasNoSize) {
  EXPECT_EQ(driver.common<std::uint16_t>(18), 3u);
  driver.set_common<std::uint16_t>(22, 2);
  EXPECT_EQ(driver.common<std::uint16_t>(24), 16u);
  EXPECT_EQ(driver.common<std::uint16_t>(30), 2u);
  driver.set_common<std::uint16_t>(22, 3);
  EXPECT_EQ(driver.common<std::uint16_t>(24), 0u);
  driver.set_up_queue(64, ring.set_up(), 1);
  EXPECT_EQ(driver.common<std::uint16_t>(28), 0u);
}

TEST_F(VirtioPciTest, AddressesAreWrittenInHalves) {
  driver.set_common<std::uint16_t>(22, 0);
  driver.set_common<std::uint32_t>(32, 0x11223340);
  driver.set_common<std::uint32_t>(36, 0x55);
  driver.set_common<std::uint16_t>(32, 1);  // narrow writes do nothing
  EXPECT_EQ(driver.common<std::uint64_t>(32), 0x55'11223340u);
  EXPECT_EQ(driver.common<std::uint32_t>(36), 0x55u);
}

TEST_F(VirtioPciTest, AMistakeOfTheDriverNeedsAReset) {
  driver.enable_msix();
  start();
  ring.offer({{kData, 0}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_EQ(driver.common<std::uint8_t>(20), 0x4fu);
  EXPECT_STREQ(driver.card->device().driver_error(), "a buffer without bytes");
  EXPECT_THAT(driver.sink.sent, ElementsAre(0x40u)) << "the configuration interrupt";
  driver.set_common<std::uint8_t>(20, 0xf);
  EXPECT_EQ(driver.common<std::uint8_t>(20), 0x4fu) << "only a reset helps";
  driver.set_common<std::uint8_t>(20, 0);
  EXPECT_EQ(driver.common<std::uint8_t>(20), 0u);
  ring.start_at(0);
  start();
  ring.offer({{kData, 4}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_EQ(ring.take_used(), (RingDriver::Used{0, 4}));
}

TEST_F(VirtioPciTest, TheDriverCannotSayThatTheDeviceNeedsAReset) {
  driver.set_common<std::uint8_t>(20, status::kNeedsReset | 1);
  EXPECT_EQ(driver.common<std::uint8_t>(20), 1u);
}

TEST_F(VirtioPciTest, AQueueSetUpWronglyNeedsAReset) {
  ASSERT_TRUE(driver.negotiate(kModernFeatures));
  QueueState odd = ring.set_up();
  odd.size = 3;
  driver.set_up_queue(0, odd, 1);
  EXPECT_EQ(driver.common<std::uint8_t>(20) & status::kNeedsReset, status::kNeedsReset);
  driver.go();
  EXPECT_EQ(model.started, 0u);
  EXPECT_STREQ(driver.card->device().driver_error(), "a queue of an impossible size");
  odd.size = 4;
  odd.descriptors = 8;
  driver.set_up_queue(1, odd, 1);
  EXPECT_STREQ(driver.card->device().driver_error(), "a queue of an impossible size")
      << "the first mistake is the one that is told";
}

TEST_F(VirtioPciTest, AResetForgetsEverythingAndWaitsForWhatIsUnderWay) {
  driver.enable_msix();
  start();
  const int drains = model.drains;
  driver.set_common<std::uint8_t>(20, 0);
  EXPECT_EQ(model.drains, drains + 1);
  EXPECT_EQ(driver.common<std::uint16_t>(16), 0xffffu);
  driver.set_common<std::uint16_t>(22, 0);
  EXPECT_EQ(driver.common<std::uint16_t>(24), 16u);
  EXPECT_EQ(driver.common<std::uint16_t>(26), 0xffffu);
  EXPECT_EQ(driver.common<std::uint16_t>(28), 0u);
  EXPECT_EQ(driver.common<std::uint64_t>(32), 0u);
  ring.offer({{kData, 1}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_FALSE(ring.take_used());
}

TEST_F(VirtioPciTest, TheConfigurationIsReadAndWrittenInPlace) {
  EXPECT_EQ(driver.load<std::uint32_t>(PciDriver::kModern + 0x2002), 0xa5a4a3a2u);
  EXPECT_EQ(driver.load<std::uint64_t>(PciDriver::kModern + 0x2004), 0xa7a6a5a4u);
  driver.store<std::uint16_t>(PciDriver::kModern + 0x2006, 1);
  EXPECT_EQ(model.written, 0x602u);
}

TEST_F(VirtioPciTest, RegistersAreReachedThroughConfigurationSpace) {
  unsigned at = driver.config_get(0x34, 1);
  while (driver.config_get(at, 1) != 0x09 || driver.config_get(at + 3, 1) != 5)
    at = driver.config_get(at + 1, 1);
  const auto aim = [&](std::uint32_t bar, std::uint32_t offset, std::uint32_t length) {
    driver.config_put(at + 4, bar, 1);
    driver.config_put(at + 8, offset);
    driver.config_put(at + 12, length);
  };
  aim(4, 18, 2);
  EXPECT_EQ(driver.config_get(at + 16, 2), 3u);
  aim(4, 20, 1);
  driver.config_put(at + 16, 3, 1);
  EXPECT_EQ(driver.common<std::uint8_t>(20), 3u);
  // Nothing happens where nothing can.
  for (const auto& [bar, offset, length] : {std::tuple{4u, 21u, 2u},
                                            {4u, 0xfffffffcu, 4u},
                                            {0u, 20u, 1u},
                                            {4u, 20u, 3u},
                                            {4u, 20u, 0u},
                                            {4u, 0x4000u, 1u}}) {
    aim(bar, offset, length);
    driver.config_put(at + 16, 0);
    driver.config_get(at + 16);
    EXPECT_EQ(driver.common<std::uint8_t>(20), 3u);
  }
}

TEST_F(VirtioPciTest, ADriverFromBefore10UsesTheIoPorts) {
  EXPECT_EQ(driver.in<std::uint32_t>(0) & 0xffffffff, static_cast<std::uint32_t>(driver.offered()));
  driver.out<std::uint8_t>(18, 0);
  driver.out<std::uint8_t>(18, 3);
  driver.out<std::uint32_t>(4, kOwnFeature | 1 << 4);  // and one that is not offered
  driver.out<std::uint16_t>(14, 0);
  EXPECT_EQ(driver.in<std::uint16_t>(12), 16u);
  driver.out<std::uint32_t>(8, 0x10);
  EXPECT_EQ(driver.in<std::uint32_t>(8), 0x10u);
  // A queue of 16 at 0x10000: descriptors, available ring, and on the next page the used ring.
  const QueueState queue = driver.card->device().queue(0).state();
  EXPECT_EQ(queue.driver_area, 0x10100u);
  EXPECT_EQ(queue.device_area, 0x11000u);
  driver.out<std::uint8_t>(18, 7);
  EXPECT_EQ(model.started, kOwnFeature);
  world.put<std::uint64_t>(0x10000, kData);
  world.put<std::uint32_t>(0x10008, 5);
  world.put<std::uint16_t>(0x10102, 1);
  driver.out<std::uint16_t>(16, 0);
  driver.run_posted();
  EXPECT_EQ(world.get<std::uint16_t>(0x11002), 1);
  EXPECT_EQ(world.get<std::uint32_t>(0x11008), 5u);
  EXPECT_TRUE(driver.pirqs.level);
  EXPECT_EQ(driver.in<std::uint8_t>(19), 1u);
  EXPECT_FALSE(driver.pirqs.level);
  EXPECT_EQ(driver.in<std::uint32_t>(20), 0xa3a2a1a0u);
  driver.out<std::uint32_t>(8, 0);  // takes the queue back
  EXPECT_EQ(driver.card->device().queue(0).state().enabled, 0);
}

TEST_F(VirtioPciTest, MsixVectorsOfBefore10PushTheConfigurationBack) {
  driver.enable_msix();
  EXPECT_EQ(driver.in<std::uint32_t>(24), 0xa3a2a1a0u);
  driver.out<std::uint16_t>(20, 1);
  driver.out<std::uint16_t>(22, 2);
  EXPECT_EQ(driver.in<std::uint16_t>(20), 1u);
  EXPECT_EQ(driver.in<std::uint16_t>(22), 2u);
  driver.out<std::uint16_t>(22, 77);
  EXPECT_EQ(driver.in<std::uint16_t>(22), 0xffffu);
}

TEST_F(VirtioPciTest, APackedRingIsServedWhenAgreedOn) {
  PackedDriver packed{world, 5, kRing};
  ASSERT_TRUE(driver.negotiate(kModernFeatures | feature::kPacked));
  driver.set_up_queue(0, packed.set_up(), 1);
  driver.go();
  for (unsigned i = 0; i < 12; ++i) {
    const auto id = packed.offer({{kData, 10 + i}});
    driver.notify(0);
    driver.run_posted();
    EXPECT_EQ(packed.take_used(), (RingDriver::Used{id, 10 + i}));
  }
}

TEST_F(VirtioPciTest, ASnapshotGoesOnWhereItWas) {
  driver.enable_msix();
  start();
  ring.offer({{kData, 3}});
  driver.notify(0);
  driver.run_posted();
  ASSERT_TRUE(ring.take_used());
  const auto saved = test::saved_and_loaded(driver.card->state());
  const auto config = driver.card->config_state();
  EXPECT_EQ(saved, driver.card->state());

  driver.pci.reset();
  driver.sink.sent.clear();
  ring.offer({{kData, 4}});  // before the restore: the notification is lost
  ASSERT_TRUE(driver.card->restore(saved));
  ASSERT_TRUE(driver.card->restore_config(config));
  driver.run_posted();
  EXPECT_EQ(ring.take_used(), (RingDriver::Used{1, 4}));
  EXPECT_THAT(driver.sink.sent, ElementsAre(0x41u));
}

TEST_F(VirtioPciTest, AnImpossibleSnapshotIsRefused) {
  start();
  const auto good = driver.card->state();
  for (const auto spoil : {
           +[](VirtioPci::State& s) { s.transport.config_vector = 4; },
           +[](VirtioPci::State& s) { s.transport.queue_vectors[1] = 9; },
           +[](VirtioPci::State& s) { s.transport.isr = 4; },
           +[](VirtioPci::State& s) { s.device.driver_features |= 1; },
           +[](VirtioPci::State& s) { s.device.queues[0].size = 5; },
           +[](VirtioPci::State& s) { s.device.queues[0].enabled = 2; },
           +[](VirtioPci::State& s) { s.device.queues[3].enabled = 1; },
       }) {
    auto bad = good;
    spoil(bad);
    EXPECT_FALSE(driver.card->restore(bad));
  }
  EXPECT_TRUE(driver.card->restore(good));
}

}  // namespace
}  // namespace vireo::devices::virtio
