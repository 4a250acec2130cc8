#include "machine/boot/free_memory.h"

#include <gtest/gtest.h>

namespace vireo::machine {
namespace {

constexpr std::uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

TEST(MemoryLayout, FillsBelowTheDeviceHoleFirst) {
  const auto small = memory_map(512 * kMiB);
  EXPECT_EQ(small.back(), (MemoryRange{kMiB, 511 * kMiB, RangeType::kRam}));
  const auto large = memory_map(5 * kGiB);
  EXPECT_EQ(large[3], (MemoryRange{kMiB, 3 * kGiB - kMiB, RangeType::kRam}));
  EXPECT_EQ(large[4], (MemoryRange{4 * kGiB, 2 * kGiB, RangeType::kRam}));
  EXPECT_EQ(memory_map(3 * kGiB).size(), 4u);
}

TEST(MemoryLayout, DisplayMemoryIsAHole) {
  const auto memory = std::move(*memory::GuestMemory::create(ram_regions(4 * kGiB)));
  EXPECT_NE(memory->host_page(PhysAddr{0x9ffff}), nullptr);
  EXPECT_EQ(memory->host_page(PhysAddr{0xa0000}), nullptr);
  EXPECT_EQ(memory->host_page(PhysAddr{0xbffff}), nullptr);
  EXPECT_NE(memory->host_page(PhysAddr{0xc0000}), nullptr);
  EXPECT_NE(memory->host_page(PhysAddr{0xbfffffff}), nullptr);
  EXPECT_EQ(memory->host_page(PhysAddr{0xc0000000}), nullptr);
  EXPECT_EQ(memory->host_page(PhysAddr{0xffffffff}), nullptr);
  EXPECT_NE(memory->host_page(PhysAddr{0x13fffffff}), nullptr);
  EXPECT_EQ(memory->host_page(PhysAddr{0x140000000}), nullptr);
}

TEST(MemoryLayout, RefusesSizesThatNoMachineHas) {
  EXPECT_FALSE(check_memory_size(kMiB));
  EXPECT_FALSE(check_memory_size(64 * kMiB + 4096));
  EXPECT_FALSE(check_memory_size(1024 * kGiB));
  EXPECT_TRUE(check_memory_size(2 * kMiB));
  EXPECT_TRUE(check_memory_size(512 * kGiB));
}

struct FreeMemoryTest : ::testing::Test {
  FreeMemory free{memory_map(5 * kGiB)};
};

TEST_F(FreeMemoryTest, TakesExactlyOnce) {
  EXPECT_TRUE(free.take(2 * kMiB, kMiB));
  EXPECT_FALSE(free.take(2 * kMiB, kMiB));
  EXPECT_FALSE(free.take(3 * kMiB - 1, 1));
  EXPECT_TRUE(free.take(3 * kMiB, 1));
  EXPECT_TRUE(free.take(2 * kMiB - 1, 1));
}

TEST_F(FreeMemoryTest, NothingOutsideOfRamCanBeTaken) {
  EXPECT_FALSE(free.take(0, 16)) << "the real-mode vectors";
  EXPECT_FALSE(free.take(kEbdaBase - 1, 2));
  EXPECT_FALSE(free.take(3 * kGiB - 1, 2));
  EXPECT_FALSE(free.take(~0ull - 1, 4)) << "must not wrap around";
}

TEST_F(FreeMemoryTest, LowestAndHighestKeepAlignmentAndBounds) {
  EXPECT_EQ(free.take_lowest(100, 16, kPageSize, kLowMemoryEnd), 0x1000u);
  EXPECT_EQ(free.take_lowest(100, 4096, kPageSize, kLowMemoryEnd), 0x2000u);
  EXPECT_EQ(free.take_lowest(100, 16, kPageSize, kLowMemoryEnd), 0x1070u);
  EXPECT_EQ(free.take_highest(5000, 4096, kMiB, 64 * kMiB), 64 * kMiB - 8192);
  EXPECT_EQ(free.take_highest(8192, 4096, kMiB, 64 * kMiB), 64 * kMiB - 16384);
  EXPECT_EQ(free.take_highest(kMiB, 4096, kMiB, 4 * kGiB), 3 * kGiB - kMiB);
  EXPECT_EQ(free.take_highest(kMiB, 4096, 4 * kGiB, ~0ull), 6 * kGiB - kMiB);
  EXPECT_EQ(free.take_highest(3 * kGiB, 4096, kMiB, 4 * kGiB), std::nullopt);
  EXPECT_EQ(free.take_lowest(kMiB, 16, kPageSize, kLowMemoryEnd), std::nullopt);
}

TEST_F(FreeMemoryTest, KnowsWhereRamEnds) {
  EXPECT_EQ(free.ram_end(4 * kGiB), 3 * kGiB);
  EXPECT_EQ(free.ram_end(64 * kMiB), 64 * kMiB);
  EXPECT_EQ(free.ram_end(~0ull), 6 * kGiB);
}

}  // namespace
}  // namespace vireo::machine
