#include "engine/software/tlb.h"

#include <gtest/gtest.h>

#include <memory>

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
  tlb.fill(linear, {linear, linear, 0, physical | bits});
  return tlb;
}

TEST(Tlb, HitsWhatLiesInThePageAndNothingThatLeavesIt) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  filled(tlb, kLinear, kPhysical);
  EXPECT_TRUE(reads(tlb, kLinear, 8));
  EXPECT_TRUE(reads(tlb, kLinear + 4088, 8));
  EXPECT_FALSE(reads(tlb, kLinear + 4089, 8));
  EXPECT_TRUE(reads(tlb, kLinear + 4095, 1));
  EXPECT_FALSE(reads(tlb, kLinear + 4095, 2));
  EXPECT_TRUE(reads(tlb, kLinear, kPageSize));
}

TEST(Tlb, AnotherPageWithTheSameSlotMisses) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  filled(tlb, kLinear, kPhysical);
  const std::uint64_t same_slot = kLinear + Tlb::kEntries * kPageSize;
  ASSERT_EQ(&tlb.entry(kLinear), &tlb.entry(same_slot));
  EXPECT_FALSE(reads(tlb, same_slot));
  EXPECT_FALSE(reads(tlb, kLinear - Tlb::kEntries * kPageSize + 4095));
}

TEST(Tlb, APageComesBackToTheSlotThatAnotherTookFromIt) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  const std::uint64_t other = kLinear + Tlb::kEntries * kPageSize;
  filled(tlb, kLinear, kPhysical);
  filled(tlb, kLinear, kPhysical);
  EXPECT_FALSE(tlb.comes_back(kLinear));
  filled(tlb, other, kPhysical);
  EXPECT_TRUE(tlb.comes_back(kLinear + 17));
  EXPECT_FALSE(tlb.comes_back(other));
  filled(tlb, kLinear, kPhysical);
  EXPECT_TRUE(tlb.comes_back(other));
}

TEST(Tlb, AnEmptySlotMissesForEveryAddressThatLeadsToIt) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
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
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
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

/// However the page came to be writable, and whatever else has been at its place.
TEST(Tlb, ProtectingFindsEveryWriter) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  constexpr std::uint64_t kFar =
      kPhysical + (std::uint64_t{Tlb::kEntries} << 14);  // the same place
  filled(tlb, 0x5000, kFar);
  filled(tlb, kLinear, kPhysical);
  tlb.protect(PhysAddr{kPhysical});
  EXPECT_FALSE(writes(tlb, kLinear));
  EXPECT_TRUE(writes(tlb, 0x5000));
  tlb.allow_writes(kLinear);
  EXPECT_TRUE(writes(tlb, kLinear));
  tlb.protect(PhysAddr{kPhysical});
  EXPECT_FALSE(writes(tlb, kLinear));
  filled(tlb, 0x5000, 0x7000);
  filled(tlb, 0x6000, kPhysical);
  tlb.copy_to(0x6000, 3);
  tlb.protect(PhysAddr{kPhysical});
  const std::uint64_t salted = 0x6000 + 3 * Tlb::kSaltStride * kPageSize;
  EXPECT_NE(tlb.entry(salted).write_tag, tlb.entry(salted).read_tag);
  EXPECT_FALSE(writes(tlb, 0x6000));
  filled(tlb, 0x6000, kPhysical);
  std::vector<std::pair<std::size_t, TlbEntry>> taken;
  tlb.take_non_global([&](std::size_t place, const TlbEntry& each) {
    taken.push_back({place, each});
  });
  EXPECT_FALSE(writes(tlb, 0x6000));
  tlb.protect(PhysAddr{kPhysical});
  for (const auto& [place, each] : taken) tlb.put_back(place, each);
  EXPECT_TRUE(writes(tlb, 0x6000));
  tlb.protect(PhysAddr{kPhysical});
  EXPECT_FALSE(writes(tlb, 0x6000));
}

TEST(Tlb, ProtectingDoesNotMakeAReadOnlyPageWritable) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  filled(tlb, kLinear, kPhysical);
  tlb.entry(kLinear).write_tag = Tlb::no_tag(kLinear);
  tlb.protect(PhysAddr{kPhysical});
  EXPECT_EQ(tlb.entry(kLinear).physical & TlbEntry::kWritableSlowly, 0u);
  EXPECT_TRUE(reads(tlb, kLinear));
}

TEST(Tlb, ProtectingTwiceKeepsTheSlowPermission) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  filled(tlb, kLinear, kPhysical);
  tlb.protect(PhysAddr{kPhysical});
  tlb.protect(PhysAddr{kPhysical});
  EXPECT_NE(tlb.entry(kLinear).physical & TlbEntry::kWritableSlowly, 0u);
}

TEST(Tlb, GlobalPagesOutliveClearNonGlobal) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  filled(tlb, kLinear, kPhysical, TlbEntry::kGlobal);
  filled(tlb, 0x5000, 0x7000);
  tlb.clear_non_global();
  EXPECT_TRUE(reads(tlb, kLinear));
  EXPECT_FALSE(reads(tlb, 0x5000));
  tlb.clear();
  EXPECT_FALSE(reads(tlb, kLinear));
}

TEST(Tlb, ClearingEmptiesEverySlotThatWasFilled) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  for (const bool global : {false, true}) {
    for (std::uint64_t i = 0; i < Tlb::kEntries; i += 7)
      filled(tlb, i << kPageShift, i << kPageShift, global ? TlbEntry::kGlobal : 0);
    tlb.clear_non_global();
    for (std::uint64_t i = 0; i < Tlb::kEntries; i += 7)
      EXPECT_EQ(reads(tlb, i << kPageShift), global);
  }
  tlb.invalidate_page(7 << kPageShift);
  filled(tlb, 7 << kPageShift, 0x1000);
  tlb.clear();
  for (std::uint64_t i = 0; i < Tlb::kEntries; i += 7) EXPECT_FALSE(reads(tlb, i << kPageShift));
}

TEST(Tlb, InvalidatingAPageFindsItUnderEverySaltAndLeavesThePagesBetween) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  filled(tlb, kLinear, kPhysical);
  for (std::size_t salt = 0; salt < Tlb::kSalts; ++salt) tlb.copy_to(kLinear, salt);
  tlb.invalidate_page(kLinear + 5);
  for (std::size_t salt = 0; salt < Tlb::kSalts; ++salt) {
    const std::uint64_t place = kLinear + salt * Tlb::kSaltStride * kPageSize;
    EXPECT_NE(tlb.entry(place).read_tag, kLinear) << salt;
    filled(tlb, place, kPhysical);
  }
  tlb.invalidate_page(kLinear);
  for (std::size_t salt = 1; salt < Tlb::kSalts; ++salt)
    EXPECT_TRUE(writes(tlb, kLinear + salt * Tlb::kSaltStride * kPageSize)) << salt;
}

TEST(Tlb, InvalidatingAPageLeavesItsNeighbours) {
  const auto made = std::make_unique<Tlb>();
  Tlb& tlb = *made;
  for (std::uint64_t page = 0; page < 3; ++page)
    filled(tlb, kLinear + page * kPageSize, kPhysical + page * kPageSize, TlbEntry::kGlobal);
  tlb.invalidate_page(kLinear + kPageSize + 123);
  EXPECT_TRUE(writes(tlb, kLinear));
  EXPECT_FALSE(reads(tlb, kLinear + kPageSize));
  EXPECT_FALSE(writes(tlb, kLinear + kPageSize));
  EXPECT_TRUE(writes(tlb, kLinear + 2 * kPageSize));
}

TEST(Tlb, InvalidatingDropsAllOfTheLargePageThatHoldsTheAddress) {
  for (const bool after_flush : {false, true}) {
    const auto made = std::make_unique<Tlb>();
    Tlb& tlb = *made;
    const std::uint64_t large = 0x40000000, huge = 0x80000000;
    filled(tlb, large + 0x5000, kPhysical, TlbEntry::kLarge | TlbEntry::kGlobal);
    filled(tlb, huge + 0x3fff6000, kPhysical, TlbEntry::kHuge | TlbEntry::kGlobal);
    filled(tlb, large + 0x7000, kPhysical, TlbEntry::kGlobal);
    if (after_flush) tlb.clear_non_global();
    tlb.invalidate_page(large + 0x3fffff);
    EXPECT_FALSE(reads(tlb, large + 0x5000));
    EXPECT_TRUE(reads(tlb, large + 0x7000));
    EXPECT_TRUE(reads(tlb, huge + 0x3fff6000));
    tlb.invalidate_page(huge);
    EXPECT_FALSE(reads(tlb, huge + 0x3fff6000));
  }
}

TEST(PageFilter, HoldsEveryAddressOfAPageThatWasAdded) {
  PageFilter filter;
  EXPECT_FALSE(filter.may_hold(0));
  filter.add(kLinear, PageFilter::kSmall);
  filter.add(0x40123000, PageFilter::kLarge);
  filter.add(0x7fc0123000, PageFilter::kHuge);
  for (const std::uint64_t held : {kLinear, kLinear + 4095, std::uint64_t{0x40000000},
                                   std::uint64_t{0x403fffff}, std::uint64_t{0x7fffffffff}})
    EXPECT_TRUE(filter.may_hold(held)) << std::hex << held;
  unsigned claimed = 0;  // by chance it may be wrong, but not often
  for (std::uint64_t page = 1; page <= 1000; ++page)
    claimed += filter.may_hold(kLinear + page * kPageSize);
  EXPECT_LT(claimed, 20u);
  filter.clear();
  EXPECT_FALSE(filter.may_hold(kLinear));
}

TEST(PageFilter, TellsAProgramsPagesFromAKernelsMapOfAllMemory) {
  PageFilter filter;
  constexpr std::uint64_t kMap = 0xffff888000000000, kProgram = 0x7f1234560000, kPages = 10000;
  for (std::uint64_t page = 0; page < 512; ++page)
    filter.add(kMap + (page << PageFilter::kLarge), PageFilter::kLarge);
  unsigned claimed = 0;
  for (std::uint64_t page = 0; page < kPages; ++page)
    claimed += filter.may_hold(kProgram + (page << 21));
  EXPECT_LT(claimed, kPages / 20);
}

}  // namespace
}  // namespace vireo::engine
