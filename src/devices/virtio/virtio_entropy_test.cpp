#include "devices/virtio/virtio_entropy.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "devices/virtio/pci_driver_world.h"

namespace vireo::devices::virtio {
namespace {

struct VirtioEntropyTest : ::testing::Test {
  void SetUp() override {
    ASSERT_TRUE(driver.negotiate(feature::kVersion1));
    driver.set_up_queue(0, ring.set_up(), 0);
    driver.go();
    driver.run_posted();
  }
  std::optional<RingDriver::Used> request(std::vector<DriverBuffer> buffers) {
    ring.offer(std::move(buffers));
    driver.notify(0);
    driver.run_posted();
    return ring.take_used();
  }
  DriverMemory world;
  VirtioEntropy model{*world.memory, [this](std::span<std::byte> bytes) {
                        std::ranges::fill(bytes, std::byte{++calls});
                      }};
  std::uint8_t calls = 0;
  PciDriver driver{model, *world.memory};
  SplitDriver ring{world, 8, 0x10000};
};

TEST_F(VirtioEntropyTest, BuffersAreFilledFromTheSource) {
  EXPECT_EQ(request({{0x20000, 3, true}, {0x21000, 2, true}})->length, 5u);
  EXPECT_EQ(world.get<std::uint8_t>(0x20002), 1);
  EXPECT_EQ(world.get<std::uint8_t>(0x20003), 0);
  EXPECT_EQ(world.get<std::uint16_t>(0x21000), 0x0101);
  EXPECT_EQ(request({{0x20000, 1, true}})->length, 1u);
  EXPECT_EQ(world.get<std::uint8_t>(0x20000), 2);
}

TEST_F(VirtioEntropyTest, AHugeRequestGetsAPart) {
  EXPECT_EQ(request({{0x20000, 0x10000, true}})->length, VirtioEntropy::kMostBytes);
}

TEST_F(VirtioEntropyTest, ARequestForNothingNeedsAReset) {
  EXPECT_FALSE(request({{0x20000, 8}}));
  EXPECT_NE(driver.card->device().driver_error(), nullptr);
}

TEST_F(VirtioEntropyTest, ABufferOutsideMemoryNeedsAReset) {
  EXPECT_FALSE(request({{DriverMemory::kEnd - 4, 8, true}}));
  EXPECT_NE(driver.card->device().driver_error(), nullptr);
}

}  // namespace
}  // namespace vireo::devices::virtio
