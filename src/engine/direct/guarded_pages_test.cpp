#include "engine/direct/guarded_pages.h"

#include <gtest/gtest.h>

namespace vireo::engine::direct {
namespace {

GuardedPages::Page page(std::uint64_t linear, std::size_t count) {
  GuardedPages::Page result{linear, PhysAddr{linear + 0x10'0000}, {}};
  for (std::size_t i = 0; i < count; ++i) result.breakpoints.push_back(linear + 8 * i);
  return result;
}

TEST(GuardedPages, TheOldestMakesRoom) {
  GuardedPages pages;
  EXPECT_TRUE(pages.add(page(0x1000, 1)).empty());
  EXPECT_TRUE(pages.add(page(0x2000, 2)).empty());
  EXPECT_TRUE(pages.add(page(0x3000, 1)).empty());
  const auto gone = pages.add(page(0x4000, 2));
  ASSERT_EQ(gone.size(), 2u);
  EXPECT_EQ(gone[0].linear, 0x1000u);
  EXPECT_EQ(gone[1].linear, 0x2000u);
  EXPECT_FALSE(pages.has(0x2000));
  EXPECT_TRUE(pages.has(0x3000));
  EXPECT_EQ(pages.breakpoints(), (std::vector<std::uint64_t>{0x3000, 0x4000, 0x4008}));
  EXPECT_TRUE(pages.has_breakpoint(0x4008));
  EXPECT_FALSE(pages.has_breakpoint(0x4004));
  EXPECT_FALSE(pages.has_breakpoint(0x2000));
}

TEST(GuardedPages, APageIsThereOnce) {
  GuardedPages pages;
  pages.add(page(0x1000, 4));
  EXPECT_TRUE(pages.add(page(0x1000, 3)).empty());
  EXPECT_EQ(pages.breakpoints().size(), 3u);
}

TEST(GuardedPages, KnowsWhatIsMappedThere) {
  GuardedPages pages;
  pages.add(page(0x1000, 1));
  EXPECT_TRUE(pages.has(0x1000, PhysAddr{0x10'1000}));
  EXPECT_FALSE(pages.has(0x1000, PhysAddr{0x10'2000}));
  pages.remove(PhysAddr{0x10'1000});
  EXPECT_FALSE(pages.has(0x1000));
}

}  // namespace
}  // namespace vireo::engine::direct
