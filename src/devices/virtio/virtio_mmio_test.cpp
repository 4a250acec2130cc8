#include "devices/virtio/virtio_mmio.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

#include "bus/access_split.h"
#include "devices/virtio/driver_world.h"
#include "devices/virtio/fake_disk.h"
#include "devices/virtio/virtio_block.h"
#include "devices/virtio/virtio_block_layout.h"
#include "support/saved_state.h"

namespace vireo::devices::virtio {
namespace {

struct Line final : bus::IrqLine {
  void set_level(bool level) override { high = level; }
  bool high = false;
};

struct VirtioMmioTest : ::testing::Test {
  static constexpr std::uint64_t kRing = 0x10000, kHeader = 0x20000, kData = 0x21000;

  std::uint32_t get(std::uint64_t offset) {
    std::array<std::byte, 4> data{};
    card.read(offset, data);
    return static_cast<std::uint32_t>(bus::to_number(data));
  }
  void put(std::uint64_t offset, std::uint64_t value, std::size_t size = 4) {
    std::array<std::byte, 8> data{};
    bus::from_number(data, value);
    card.write(offset, std::span(data).first(size));
  }
  void start() {
    put(0x70, 0);
    put(0x70, 3);
    put(0x24, 1);
    put(0x20, 1);  // VERSION_1
    put(0x70, 0xb);
    ASSERT_EQ(get(0x70), 0xbu);
    put(0x30, 0);
    put(0x38, 8);
    put(0x80, ring.table);
    put(0x90, ring.driver_area);
    put(0xa0, ring.device_area);
    put(0x44, 1);
    EXPECT_EQ(get(0x44), 1u);
    put(0x70, 0xf);
    run_posted();
  }
  void run_posted() {
    std::vector<std::function<void()>> tasks;
    tasks.swap(posted);
    for (const auto& task : tasks) task();
  }
  /// Reads a sector; true if the request came back.
  bool read_sector(std::uint64_t sector) {
    world.put(kHeader, block::Header{block::kIn, 0, sector});
    ring.offer({{kHeader, 16}, {kData, 513, true}});
    put(0x50, 0);
    run_posted();
    return ring.take_used().has_value();
  }

  DriverMemory world;
  FakeDisk disk{1 << 16};
  VirtioBlock model{disk, *world.memory, {}};
  Line line;
  std::vector<std::function<void()>> posted;
  VirtioMmio card{model, *world.memory, line,
                  [this](std::function<void()> task) { posted.push_back(std::move(task)); }};
  SplitDriver ring{world, 8, kRing};
};

TEST_F(VirtioMmioTest, ItSaysWhatItIs) {
  EXPECT_EQ(get(0x00), 0x74726976u);
  EXPECT_EQ(get(0x04), 2u);
  EXPECT_EQ(get(0x08), 2u);
  put(0x14, 1);
  EXPECT_EQ(get(0x10) & 1, 1u) << "VERSION_1";
  put(0x14, 2);
  EXPECT_EQ(get(0x10), 0u);
  EXPECT_EQ(get(0x34), 512u);
  put(0x30, 1);
  EXPECT_EQ(get(0x34), 0u) << "there is one queue";
  EXPECT_EQ(get(0xb0), 0xffffffffu);
  EXPECT_EQ(get(0x100), 128u) << "the capacity";
}

TEST_F(VirtioMmioTest, ADriverReadsItsDisk) {
  disk.content[5 * 512 + 1] = std::byte{0x77};
  start();
  EXPECT_TRUE(read_sector(5));
  EXPECT_EQ(world.get<std::uint8_t>(kData + 1), 0x77);
  EXPECT_EQ(world.get<std::uint8_t>(kData + 512), block::kOk);
}

TEST_F(VirtioMmioTest, TheLineFollowsTheInterruptStatus) {
  start();
  EXPECT_TRUE(read_sector(0));
  EXPECT_TRUE(line.high);
  EXPECT_EQ(get(0x60), 1u);
  put(0x64, 2);
  EXPECT_TRUE(line.high);
  put(0x64, 1);
  EXPECT_FALSE(line.high);
  EXPECT_EQ(get(0x60), 0u);
}

TEST_F(VirtioMmioTest, AMistakeInterruptsForTheConfiguration) {
  start();
  ring.offer({{kHeader, 0}});
  put(0x50, 0);
  run_posted();
  EXPECT_EQ(get(0x70), 0x4fu);
  EXPECT_EQ(get(0x60), 2u);
  put(0x70, 0);
  EXPECT_EQ(get(0x70), 0u);
  EXPECT_FALSE(line.high);
}

TEST_F(VirtioMmioTest, AQueueIsTakenBack) {
  start();
  put(0x44, 0);
  EXPECT_EQ(get(0x44), 0u);
  EXPECT_FALSE(read_sector(0));
}

TEST_F(VirtioMmioTest, OnlyWholeRegistersAreWritten) {
  put(0x70, 1, 1);
  put(0x70, 1, 2);
  put(0x70, 1, 8);
  EXPECT_EQ(get(0x70), 0u);
  put(0x50, 99);  // no such queue
  EXPECT_TRUE(posted.empty());
  put(0x30, 99);
  put(0x44, 1);
  EXPECT_EQ(get(0x70), 0u);
}

TEST_F(VirtioMmioTest, AnImpossibleSizeNeedsAReset) {
  put(0x70, 3);
  put(0x38, 0x10008);  // not 8
  put(0x44, 1);
  EXPECT_EQ(get(0x70) & status::kNeedsReset, status::kNeedsReset);
}

TEST_F(VirtioMmioTest, ASnapshotGoesOnWhereItWas) {
  start();
  EXPECT_TRUE(read_sector(0));
  const auto saved = test::saved_and_loaded(card.state());
  card.reset();
  EXPECT_FALSE(line.high);
  ASSERT_TRUE(card.restore(saved));
  EXPECT_EQ(card.state(), saved);
  EXPECT_TRUE(line.high);
  run_posted();
  EXPECT_TRUE(read_sector(1));
  auto bad = saved;
  bad.transport.interrupt_status = 4;
  EXPECT_FALSE(card.restore(bad));
}

}  // namespace
}  // namespace vireo::devices::virtio
