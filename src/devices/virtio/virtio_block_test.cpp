#include "devices/virtio/virtio_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>

#include "devices/virtio/fake_disk.h"
#include "devices/virtio/pci_driver_world.h"
#include "devices/virtio/virtio_block_layout.h"

namespace vireo::devices::virtio {
namespace {

constexpr std::size_t kDiskBytes = 1 << 20;

struct World {
  explicit World(bool read_only = false) : disk(kDiskBytes, read_only) {
    for (std::size_t i = 0; i < disk.content.size(); ++i)
      disk.content[i] = std::byte(i * 7 >> 3 & 0xff);
  }
  DriverMemory world;
  FakeDisk disk;
  VirtioBlock model{disk, *world.memory, {2, "a serial of more than twenty letters"}};
  PciDriver driver{model, *world.memory};
  SplitDriver ring{world, 8, 0x10000};
};

struct VirtioBlockTest : ::testing::Test, World {
  static constexpr std::uint64_t kHeader = 0x20000, kData = 0x21000, kStatus = 0x30000;
  static constexpr std::uint8_t kUntouched = 0xee;

  explicit VirtioBlockTest(bool read_only = false) : World(read_only) {}
  void SetUp() override { start(driver.offered() & ~feature::kPacked); }
  void start(std::uint64_t features) {
    ASSERT_TRUE(driver.negotiate(features));
    driver.set_up_queue(0, ring.set_up(), 1);
    driver.go();
    driver.run_posted();
  }
  void offer(std::uint32_t type, std::uint64_t sector, std::vector<DriverBuffer> buffers) {
    world.put(kHeader, block::Header{type, 0, sector});
    world.put(kStatus, kUntouched);
    buffers.insert(buffers.begin(), {kHeader, sizeof(block::Header)});
    buffers.push_back({kStatus, 1, true});
    ring.offer(buffers);
    driver.notify(0);
    driver.run_posted();
  }
  /// The status of a request, and that as many bytes were said to be written.
  std::uint8_t request(std::uint32_t type, std::uint64_t sector, std::vector<DriverBuffer> buffers,
                       std::optional<std::uint32_t> written = {}) {
    offer(type, sector, std::move(buffers));
    const auto used = ring.take_used();
    EXPECT_TRUE(used);
    if (used && written) EXPECT_EQ(used->length, *written);
    return world.get<std::uint8_t>(kStatus);
  }
  bool needs_reset() { return (driver.common<std::uint8_t>(20) & status::kNeedsReset) != 0; }
  std::uint8_t range(std::uint32_t type, std::uint64_t sector, std::uint32_t sectors,
                     std::uint32_t flags = 0) {
    world.put(kData, sector);
    world.put(kData + 8, sectors);
    world.put(kData + 12, flags);
    return request(type, 0, {{kData, 16}});
  }
  template <class T>
  T config(std::uint64_t offset) {
    return driver.load<T>(PciDriver::kModern + VirtioPci::kConfig + offset);
  }
};

struct ReadOnlyBlockTest : VirtioBlockTest {
  ReadOnlyBlockTest() : VirtioBlockTest(true) {}
};

TEST_F(VirtioBlockTest, TheConfigurationDescribesTheDisk) {
  EXPECT_EQ(config<std::uint64_t>(0), kDiskBytes / 512);
  EXPECT_EQ(config<std::uint32_t>(12), 510u);
  EXPECT_EQ(config<std::uint32_t>(20), 512u);
  EXPECT_EQ(config<std::uint8_t>(24), 3u) << "blocks of 4096 bytes";
  EXPECT_EQ(config<std::uint16_t>(34), 2u) << "queues";
  EXPECT_EQ(config<std::uint32_t>(44), 8u) << "alignment of discards";
  EXPECT_EQ(config<std::uint8_t>(56), 1u);
  EXPECT_EQ(config<std::uint64_t>(64), 0u);
  EXPECT_EQ(config<std::uint64_t>(0x1ff8), 0u);
  EXPECT_EQ(driver.offered() & block::kReadOnly, 0u);
  EXPECT_NE(driver.offered() & block::kMultiQueue, 0u);
}

TEST_F(VirtioBlockTest, AReadFillsItsBuffersInOrder) {
  EXPECT_EQ(request(block::kIn, 3, {{kData, 512, true}, {kData + 0x3000, 1024, true}}, 1537),
            block::kOk);
  std::vector<std::byte> bytes(1536);
  ASSERT_TRUE(world.memory->read(PhysAddr{kData}, std::span(bytes).first(512)));
  ASSERT_TRUE(world.memory->read(PhysAddr{kData + 0x3000}, std::span(bytes).last(1024)));
  EXPECT_EQ(std::memcmp(bytes.data(), disk.content.data() + 3 * 512, 1536), 0);
}

TEST_F(VirtioBlockTest, AWriteReachesTheDiskWithoutACopy) {
  std::vector<std::byte> bytes(8192, std::byte{0x5a});
  ASSERT_TRUE(world.memory->write(PhysAddr{kData}, bytes));
  EXPECT_EQ(request(block::kOut, 16, {{kData, 8192}}, 1), block::kOk);
  EXPECT_EQ(std::memcmp(bytes.data(), disk.content.data() + 16 * 512, 8192), 0);
  ASSERT_EQ(disk.pieces.size(), 1u);
  EXPECT_EQ(disk.pieces[0].iov_base, world.memory->host_page(PhysAddr{kData}));
  EXPECT_EQ(disk.log, "w");
}

TEST_F(VirtioBlockTest, ADriverThatCannotFlushHasItsWritesFlushed) {
  ring.start_at(0);
  start(driver.offered() & ~feature::kPacked & ~block::kFlush);
  EXPECT_EQ(request(block::kOut, 0, {{kData, 512}}), block::kOk);
  EXPECT_EQ(disk.log, "wf");
  EXPECT_EQ(request(block::kIn, 0, {{kData, 512, true}}), block::kOk);
  EXPECT_EQ(disk.log, "wfr");
}

TEST_F(VirtioBlockTest, AFlushIsAFlush) {
  EXPECT_EQ(request(block::kFlushRequest, 0, {}, 1), block::kOk);
  EXPECT_EQ(disk.log, "f");
}

TEST_F(VirtioBlockTest, HeaderAndStatusMayBePartsOfOtherBuffers) {
  world.put(kHeader, block::Header{block::kIn, 0, 1});
  ring.offer({{kHeader, 5}, {kHeader + 5, 11}, {kData, 300, true}, {kData + 300, 213, true}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_EQ(ring.take_used()->length, 513u);
  EXPECT_EQ(world.get<std::uint8_t>(kData + 512), block::kOk);
  EXPECT_EQ(world.get<std::uint8_t>(kData + 511), std::to_integer<int>(disk.content[1023]));
}

TEST_F(VirtioBlockTest, NothingBehindTheEndOfTheDiskIsTouched) {
  constexpr std::uint64_t kSectors = kDiskBytes / 512;
  for (const std::uint64_t sector :
       {kSectors, kSectors - 1, kSectors + 1, ~std::uint64_t{0}, std::uint64_t{1} << 55}) {
    EXPECT_EQ(request(block::kIn, sector, {{kData, 1024, true}}, 0), block::kError) << sector;
    EXPECT_EQ(request(block::kOut, sector, {{kData, 1024}}), block::kError) << sector;
    EXPECT_EQ(range(block::kDiscardRequest, sector, 2), block::kError) << sector;
  }
  EXPECT_EQ(disk.log, "");
  EXPECT_EQ(request(block::kIn, kSectors - 2, {{kData, 1024, true}}), block::kOk);
}

TEST_F(VirtioBlockTest, WhatIsNoWholeNumberOfSectorsIsRefused) {
  EXPECT_EQ(request(block::kIn, 0, {{kData, 100, true}}), block::kError);
  EXPECT_EQ(request(block::kOut, 0, {{kData, 513}}), block::kError);
  EXPECT_EQ(disk.log, "");
}

TEST_F(VirtioBlockTest, AnErrorOfTheHostIsAnErrorOfTheDisk) {
  disk.error = EIO;
  EXPECT_EQ(request(block::kIn, 0, {{kData, 512, true}}, 0), block::kError);
  disk.error = ENOSPC;
  EXPECT_EQ(request(block::kOut, 0, {{kData, 512}}), block::kError);
  EXPECT_FALSE(needs_reset());
  EXPECT_EQ(request(block::kIn, 0, {{kData, 512, true}}), block::kOk);
}

TEST_F(VirtioBlockTest, TheSerialNumberIsCutToItsLength) {
  EXPECT_EQ(request(block::kGetId, 0, {{kData, 20, true}}, 21), block::kOk);
  std::array<char, 21> serial{};
  ASSERT_TRUE(
      world.memory->read(PhysAddr{kData}, std::as_writable_bytes(std::span(serial).first(20))));
  EXPECT_STREQ(serial.data(), "a serial of more tha");
}

TEST_F(VirtioBlockTest, DiscardAndWriteZeroesTakeRanges) {
  EXPECT_EQ(range(block::kDiscardRequest, 8, 16), block::kOk);
  EXPECT_EQ(range(block::kWriteZeroesRequest, 100, 1), block::kOk);
  EXPECT_EQ(range(block::kWriteZeroesRequest, 200, 1, block::kUnmap), block::kOk);
  EXPECT_EQ(range(block::kDiscardRequest, 8, 0), block::kOk);
  EXPECT_EQ(disk.log, "dzz!");
  EXPECT_EQ(disk.content[8 * 512 + 100], std::byte{0});
  EXPECT_EQ(range(block::kDiscardRequest, 8, 1, block::kUnmap), block::kUnsupported);
  EXPECT_EQ(range(block::kWriteZeroesRequest, 8, 1, 2), block::kUnsupported);
  EXPECT_EQ(request(block::kDiscardRequest, 0, {{kData, 15}}), block::kError);
  EXPECT_EQ(request(block::kDiscardRequest, 0, {}), block::kError);
  EXPECT_EQ(request(block::kDiscardRequest, 0, {{kData, 17 * 16}}), block::kError);
  EXPECT_EQ(disk.log, "dzz!");
}

TEST_F(VirtioBlockTest, SeveralRangesAreOneRequest) {
  for (unsigned i = 0; i < 3; ++i) {
    world.put<std::uint64_t>(kData + 16 * i, 10 * i);
    world.put<std::uint64_t>(kData + 16 * i + 8, 4);
  }
  disk.held = true;
  offer(block::kDiscardRequest, 0, {{kData, 48}});
  EXPECT_EQ(disk.waiting(), 3u);
  EXPECT_FALSE(ring.take_used());
  disk.error = EIO;  // of the first: the others succeed
  disk.run();
  EXPECT_TRUE(ring.take_used());
  EXPECT_EQ(world.get<std::uint8_t>(kStatus), block::kError);
}

TEST_F(VirtioBlockTest, UnknownRequestsAreUnsupported) {
  EXPECT_EQ(request(99, 0, {{kData, 512, true}}), block::kUnsupported);
}

TEST_F(VirtioBlockTest, RequestsWithoutHeaderOrStatusNeedAReset) {
  ring.offer({{kHeader, 15}, {kStatus, 1, true}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_TRUE(needs_reset());
  ring.start_at(0);
  start(driver.offered() & ~feature::kPacked);
  EXPECT_FALSE(needs_reset());
  ring.offer({{kHeader, 16}});
  driver.notify(0);
  driver.run_posted();
  EXPECT_TRUE(needs_reset());
}

TEST_F(VirtioBlockTest, BuffersOutsideMemoryNeedAReset) {
  for (const std::uint64_t address :
       {DriverMemory::kEnd - 256, DriverMemory::kRom, ~std::uint64_t{0} - 255}) {
    offer(block::kIn, 0, {{address, 512, true}});
    EXPECT_TRUE(needs_reset()) << std::hex << address;
    EXPECT_FALSE(ring.take_used());
    ring.start_at(0);
    start(driver.offered() & ~feature::kPacked);
  }
  EXPECT_EQ(disk.log, "");
}

TEST_F(VirtioBlockTest, RequestsComeBackAsTheyAreDone) {
  disk.held = true;
  offer(block::kIn, 0, {{kData, 512, true}});
  offer(block::kIn, 1, {{kData + 512, 512, true}});
  EXPECT_EQ(disk.waiting(), 2u);
  EXPECT_FALSE(ring.take_used());
  disk.run(true);
  EXPECT_EQ(ring.take_used()->id, 3u);
  EXPECT_EQ(ring.take_used()->id, 0u);
}

TEST_F(VirtioBlockTest, WhatWasReadIsToldToTranslators) {
  struct Listener final : memory::PageListener {
    bool on_watch(PhysAddr) override { return false; }
    bool on_move() override { return false; }
    void on_watched_write(PhysAddr address, std::size_t size) override {
      if (value(address) == kData) bytes += size;
    }
    std::size_t bytes = 0;
  } listener;
  world.memory->add_listener(listener);
  world.memory->watch(PhysAddr{kData});
  EXPECT_EQ(request(block::kIn, 0, {{kData, 512, true}}), block::kOk);
  EXPECT_EQ(listener.bytes, 512u);
  disk.error = EIO;
  EXPECT_EQ(request(block::kIn, 0, {{kData, 512, true}}), block::kError);
  EXPECT_EQ(listener.bytes, 1024u);
}

TEST_F(VirtioBlockTest, AResetWaitsForTheDiskAndDropsItsAnswer) {
  disk.held = true;
  offer(block::kIn, 0, {{kData, 512, true}});
  auto reset = std::async(std::launch::async, [&] { driver.set_common<std::uint8_t>(20, 0); });
  EXPECT_EQ(reset.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  disk.run();
  reset.get();
  EXPECT_EQ(driver.common<std::uint8_t>(20), 0u);
  EXPECT_FALSE(ring.take_used());
  EXPECT_FALSE(driver.pirqs.level);
}

TEST_F(ReadOnlyBlockTest, NothingIsWritten) {
  EXPECT_NE(driver.offered() & block::kReadOnly, 0u);
  EXPECT_EQ(driver.offered() & (block::kDiscard | block::kWriteZeroes), 0u);
  EXPECT_EQ(request(block::kOut, 0, {{kData, 512}}), block::kError);
  EXPECT_EQ(range(block::kDiscardRequest, 0, 8), block::kError);
  EXPECT_EQ(range(block::kWriteZeroesRequest, 0, 8), block::kError);
  EXPECT_EQ(request(block::kIn, 0, {{kData, 512, true}}), block::kOk);
  EXPECT_EQ(disk.log, "r");
}

}  // namespace
}  // namespace vireo::devices::virtio
