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

/// An active policy's trial: entries of the kernel cost so much with the process, and so much
/// without. Leaves `now` at its end.
void try_out(DirectPolicy& policy, std::uint64_t& now, std::uint64_t native,
             std::uint64_t translated) {
  ASSERT_TRUE(policy.phase_over(now, 0));
  policy.note_phase({now, 0, 0});
  EXPECT_FALSE(policy.phase_over(now, DirectPolicy::kTrialEntries - 1));
  std::uint64_t entries = DirectPolicy::kTrialEntries, busy = entries * native;
  now += busy;
  ASSERT_TRUE(policy.phase_over(now, entries));
  policy.note_phase({now, entries, busy});
  ASSERT_GT(policy.not_before(), now);
  const std::uint64_t length = policy.not_before() - now;
  EXPECT_FALSE(policy.phase_over(policy.not_before() - 1, entries));
  now = policy.not_before();
  entries += length / translated;
  busy += length;
  ASSERT_TRUE(policy.phase_over(now, entries));
  policy.note_phase({now, entries, busy});
}

TEST(DirectPolicy, ATrialKeepsWhatIsFaster) {
  DirectPolicy policy;
  policy.note_translated(0, 4 * kMs, 0);
  std::uint64_t now = 0;
  try_out(policy, now, 60'000, 90'000);
  EXPECT_TRUE(policy.active());
  EXPECT_LE(policy.not_before(), now);
  EXPECT_FALSE(policy.phase_over(now + DirectPolicy::kFirstTrustNs - 1, 1'000'000));
  now += DirectPolicy::kFirstTrustNs;
  EXPECT_TRUE(policy.phase_over(now, 0));  // it may have become another
  try_out(policy, now, 60'000, 90'000);
  EXPECT_FALSE(policy.phase_over(now + 2 * DirectPolicy::kFirstTrustNs - 1, 0));
}

TEST(DirectPolicy, AfterATrialShorterRunsDo) {
  DirectPolicy policy;
  policy.note_translated(0, 4 * kMs, 0);
  std::uint64_t now = 0;
  try_out(policy, now, 60'000, 90'000);
  const std::uint64_t before = policy.not_before();
  policy.note_native(now, DirectPolicy::kTinyNs,
                     DirectPolicy::kSlowerIfProven * DirectPolicy::kTinyNs);
  EXPECT_EQ(policy.not_before(), before);
  policy.note_native(now, DirectPolicy::kTinyNs - 1, 0);
  EXPECT_EQ(policy.not_before(), now + DirectPolicy::kFirstBreakNs);
}

TEST(DirectPolicy, ATrialEndsWhatIsSlower) {
  DirectPolicy policy;
  std::uint64_t now = 0, distrust = DirectPolicy::kFirstTrustNs;
  for (unsigned i = 0; i < 3; ++i, distrust *= 2) {
    policy.note_translated(now, 4 * kMs, 0);
    ASSERT_TRUE(policy.active());
    try_out(policy, now, 90'000, 60'000);
    EXPECT_FALSE(policy.active());
    policy.note_translated(now + distrust - 1, 4 * kMs, 0);
    EXPECT_FALSE(policy.active());
    now += distrust;
  }
}

TEST(DirectPolicy, CodeThatSeldomEntersTheKernelIsNotTried) {
  DirectPolicy policy;
  policy.note_translated(0, 4 * kMs, 0);
  policy.note_phase({0, 0, 0});
  const std::uint64_t later = DirectPolicy::kTrialEntries * (DirectPolicy::kSureNs + 1000);
  policy.note_phase({later, DirectPolicy::kTrialEntries, later});
  EXPECT_EQ(policy.not_before(), 0u);
  EXPECT_FALSE(policy.phase_over(later, DirectPolicy::kTrialEntries + 1));
}

TEST(DirectPolicy, ATrialInWhichNothingComesIsForTheProcess) {
  DirectPolicy policy;
  policy.note_translated(0, 4 * kMs, 0);
  std::uint64_t now = 0;
  try_out(policy, now, 60'000, 1'000'000'000);
  EXPECT_TRUE(policy.active());
}

}  // namespace
}  // namespace vireo::engine::direct
