#include "engine/software/tlb.h"

#include <gtest/gtest.h>

namespace vireo::engine {
namespace {

constexpr std::uint64_t kLinear = 0xffff800000123000, kPhysical = 0x456000;

bool hits(std::uint64_t linear, std::uint64_t tag, std::size_t size) {
  return linear - tag <= kPageSize - size;
}
bool reads(Tlb& tlb, std::uint64_t linear, std::size_t size = 1) {
  return hits(linear, tlb.entry(linear).read_tag, size);
}
bool writes(Tlb& tlb, std::uint64_t linear, std::size_t size = 1) {
  return hits(linear, tlb.entry(linear).write_tag, size);
}

Tlb& filled(Tlb& tlb, std::uint64_t linear, std::uint64_t physical, std::uint64_t bits = 0) {
  tlb.entry(linear) = {linear, linear, 0, physical | bits};
  tlb.mark_used();
  return tlb;
}

TEST(Tlb, HitsWhatLiesInThePageAndNothingThatLeavesIt) {
  Tlb tlb;
  filled(tlb, kLinear, kPhysical);
  EXPECT_TRUE(reads(tlb, kLinear, 8));
  EXPECT_TRUE(reads(tlb, kLinear + 4088, 8));
  EXPECT_FALSE(reads(tlb, kLinear + 4089, 8));
  EXPECT_TRUE(reads(tlb, kLinear + 4095, 1));
  EXPECT_FALSE(reads(tlb, kLinear + 4095, 2));
  EXPECT_TRUE(reads(tlb, kLinear, kPageSize));
}

TEST(Tlb, AnotherPageWithTheSameSlotMisses) {
  Tlb tlb;
  filled(tlb, kLinear, kPhysical);
  const std::uint64_t same_slot = kLinear + Tlb::kEntries * kPageSize;
  ASSERT_EQ(&tlb.entry(kLinear), &tlb.entry(same_slot));
  EXPECT_FALSE(reads(tlb, same_slot));
  EXPECT_FALSE(reads(tlb, kLinear - Tlb::kEntries * kPageSize + 4095));
}

TEST(Tlb, AnEmptySlotMissesForEveryAddressThatLeadsToIt) {
  Tlb tlb;
  for (const std::uint64_t page : {0x0ull, 0x1000ull, 0x3ff000ull, 0x400000ull, 0x7ffffffff000ull,
                                   0xffff800000000000ull, 0xfffffffffffff000ull})
    for (const std::uint64_t offset : {0ull, 1ull, 2048ull, 4095ull}) {
      EXPECT_FALSE(reads(tlb, page + offset)) << std::hex << page + offset;
      EXPECT_FALSE(writes(tlb, page + offset)) << std::hex << page + offset;
    }
}

TEST(Tlb, NoTagIsOutOfReachOfItsOwnSlot) {
  for (std::uint64_t i = 0; i < Tlb::kEntries; ++i) {
    const std::uint64_t linear = i << kPageShift;
    EXPECT_NE((Tlb::no_tag(linear) >> kPageShift) & (Tlb::kEntries - 1), i);
    EXPECT_EQ(Tlb::no_tag(linear) & kPageMask, 0u);
  }
}

TEST(Tlb, ProtectingAPhysicalPageStopsDirectWritesAtAllItsLinearAddresses) {
  Tlb tlb;
  filled(tlb, kLinear, kPhysical);
  filled(tlb, 0x5000, kPhysical);
  filled(tlb, 0x6000, kPhysical + kPageSize);
  tlb.protect(PhysAddr{kPhysical});
  for (const std::uint64_t alias : {kLinear, std::uint64_t{0x5000}}) {
    EXPECT_TRUE(reads(tlb, alias));
    EXPECT_FALSE(writes(tlb, alias));
    EXPECT_NE(tlb.entry(alias).physical & TlbEntry::kWritableSlowly, 0u);
  }
  EXPECT_TRUE(writes(tlb, 0x6000));
}

TEST(Tlb, ProtectingDoesNotMakeAReadOnlyPageWritable) {
  Tlb tlb;
  filled(tlb, kLinear, kPhysical);
  tlb.entry(kLinear).write_tag = Tlb::no_tag(kLinear);
  tlb.protect(PhysAddr{kPhysical});
  EXPECT_EQ(tlb.entry(kLinear).physical & TlbEntry::kWritableSlowly, 0u);
  EXPECT_TRUE(reads(tlb, kLinear));
}

TEST(Tlb, ProtectingTwiceKeepsTheSlowPermission) {
  Tlb tlb;
  filled(tlb, kLinear, kPhysical);
  tlb.protect(PhysAddr{kPhysical});
  tlb.protect(PhysAddr{kPhysical});
  EXPECT_NE(tlb.entry(kLinear).physical & TlbEntry::kWritableSlowly, 0u);
}

TEST(Tlb, GlobalPagesOutliveClearNonGlobal) {
  Tlb tlb;
  filled(tlb, kLinear, kPhysical, TlbEntry::kGlobal);
  filled(tlb, 0x5000, 0x7000);
  tlb.clear_non_global();
  EXPECT_TRUE(reads(tlb, kLinear));
  EXPECT_FALSE(reads(tlb, 0x5000));
  tlb.clear();
  EXPECT_FALSE(reads(tlb, kLinear));
  EXPECT_FALSE(tlb.used());
}

TEST(Tlb, InvalidatingAPageLeavesItsNeighbours) {
  Tlb tlb;
  for (std::uint64_t page = 0; page < 3; ++page)
    filled(tlb, kLinear + page * kPageSize, kPhysical + page * kPageSize, TlbEntry::kGlobal);
  tlb.invalidate_page(kLinear + kPageSize + 123);
  EXPECT_TRUE(writes(tlb, kLinear));
  EXPECT_FALSE(reads(tlb, kLinear + kPageSize));
  EXPECT_FALSE(writes(tlb, kLinear + kPageSize));
  EXPECT_TRUE(writes(tlb, kLinear + 2 * kPageSize));
}

}  // namespace
}  // namespace vireo::engine
