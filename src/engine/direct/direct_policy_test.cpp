#include "engine/direct/direct_policy.h"

#include <gtest/gtest.h>

namespace vireo::engine::direct {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kLong = 2 * DirectPolicy::kShortNs, kShort = DirectPolicy::kShortNs / 2;

TEST(DirectPolicy, CodeThatStaysOnTheCpuIsWorthIt) {
  DirectPolicy policy;
  policy.note_translated(10 * kMs, 4 * kMs, 1000);  // a system call every 4 us
  EXPECT_FALSE(policy.active());
  policy.note_translated(14 * kMs, 4 * kMs, 10);
  EXPECT_TRUE(policy.active());
  EXPECT_LE(policy.not_before(), 14 * kMs);
}

TEST(DirectPolicy, ShortRunsAreFollowedByLongerAndLongerBreaks) {
  DirectPolicy policy;
  policy.note_translated(0, 4 * kMs, 0);
  policy.note_native(kMs, kLong, 0);
  EXPECT_EQ(policy.not_before(), 0u);
  policy.note_native(kMs, kShort, 0);
  EXPECT_EQ(policy.not_before(), kMs + DirectPolicy::kFirstBreakNs);
  policy.note_native(kMs, kShort, 0);
  EXPECT_EQ(policy.not_before(), kMs + 2 * DirectPolicy::kFirstBreakNs);
  policy.note_native(2 * kMs, kLong, 0);
  policy.note_native(2 * kMs, kShort, 0);
  EXPECT_EQ(policy.not_before(), 2 * kMs + DirectPolicy::kFirstBreakNs);
  EXPECT_TRUE(policy.active());
}

TEST(DirectPolicy, NothingButShortRunsEndsIt) {
  DirectPolicy policy;
  policy.note_translated(0, 4 * kMs, 0);
  for (unsigned i = 1; i < DirectPolicy::kPatience; ++i) {
    policy.note_native(kMs, kShort, 0);
    EXPECT_TRUE(policy.active());
    EXPECT_LE(policy.not_before(), kMs + DirectPolicy::kLongestBreakNs);
  }
  policy.note_native(kMs, kShort, 0);
  EXPECT_FALSE(policy.active());
}

TEST(DirectPolicy, ARunThatLosesMoreThanItSavesIsShort) {
  DirectPolicy policy;
  policy.note_translated(0, 4 * kMs, 0);
  policy.note_native(kMs, kLong, DirectPolicy::kSlower * kLong);
  EXPECT_EQ(policy.not_before(), 0u);
  policy.note_native(kMs, kLong, DirectPolicy::kSlower * kLong + 1);
  EXPECT_EQ(policy.not_before(), kMs + DirectPolicy::kFirstBreakNs);
}

TEST(DirectPolicy, PausesBecomeLongerUntilItWasWorthItAgain) {
  DirectPolicy policy;
  std::uint64_t now = 0, expected = DirectPolicy::kFirstPauseNs;
  for (unsigned i = 0; i < 3; ++i, expected *= 2) {
    policy.note_translated(now, 4 * kMs, 0);
    ASSERT_TRUE(policy.active());
    policy.pause(now);
    policy.note_translated(now + expected - 1, 4 * kMs, 0);
    EXPECT_FALSE(policy.active());
    now += expected;
  }
  policy.note_translated(now, 4 * kMs, 0);
  policy.note_native(now, kLong, 0);
  policy.pause(now);
  policy.note_translated(now + DirectPolicy::kFirstPauseNs, 4 * kMs, 0);
  EXPECT_TRUE(policy.active());
}

}  // namespace
}  // namespace vireo::engine::direct
