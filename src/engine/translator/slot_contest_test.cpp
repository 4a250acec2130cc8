#include "engine/translator/slot_contest.h"

#include <gtest/gtest.h>

namespace vireo::engine::translator {
namespace {

TEST(SlotContest, TwoThatMissInTurnsHaveALoserAndNotAlwaysTheSame) {
  SlotContest contest;
  std::array<unsigned, 2> lost{};
  for (std::uint32_t i = 0; i < 20 * SlotContest::kPatience; ++i) {
    const std::uint32_t site = i % 2;
    if (!contest.note(site)) continue;
    EXPECT_TRUE(contest.lost(site));
    ++lost[site];
  }
  EXPECT_GT(lost[0], 2u);
  EXPECT_GT(lost[1], 2u);
}

TEST(SlotContest, ALoserIsToldOnce) {
  SlotContest contest;
  EXPECT_FALSE(contest.lost(7));
  for (unsigned i = 0; i < SlotContest::kPatience; ++i) EXPECT_FALSE(contest.note(7));
  EXPECT_TRUE(contest.note(7));
  EXPECT_TRUE(contest.lost(7));
  EXPECT_FALSE(contest.lost(7));
}

TEST(SlotContest, ManySitesThatMissNowAndThenLoseNothing) {
  SlotContest contest;
  for (std::uint32_t i = 0; i < 10'000; ++i) EXPECT_FALSE(contest.note(i % 40));
}

}  // namespace
}  // namespace vireo::engine::translator
