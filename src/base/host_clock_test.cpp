#include "base/host_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace vireo {
namespace {

using std::chrono::milliseconds;

double host_ns() {
  return std::chrono::duration<double, std::nano>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A busy host may stop us between two readings: each of ours stands between two of the host's.
TEST(HostClock, RunsAsFastAsTheHost) {
  HostClock clock;
  const double before = host_ns();
  const std::uint64_t start = clock.now_ns();
  const double begun = host_ns();
  std::this_thread::sleep_for(milliseconds(50));
  const double ended = host_ns();
  const auto ours = static_cast<double>(clock.now_ns() - start);
  const double after = host_ns();
  EXPECT_GT(ours, (ended - begun) * 0.98);
  EXPECT_LT(ours, (after - before) * 1.02);
}

TEST(HostClock, NanosecondsAndTicksAreOneTime) {
  HostClock clock;
  std::this_thread::sleep_for(milliseconds(20));
  clock.pause();  // so that both readings are of one moment
  const double from_ticks =
      static_cast<double>(clock.tsc()) * 1e9 / static_cast<double>(clock.tsc_hz());
  EXPECT_NEAR(static_cast<double>(clock.now_ns()), from_ticks, 10.0);
  EXPECT_GT(clock.now_ns(), 15'000'000u);
}

TEST(HostClock, TheBiasLeadsFromTheHostsCounterToOurs) {
  HostClock clock;
  if (!clock.uses_tsc()) GTEST_SKIP() << "the host's TSC is not invariant";
  const auto expect_alike = [&] {
    const auto bias = clock.host_tsc_bias();
    ASSERT_TRUE(bias);
    const std::uint64_t before = clock.tsc(), now = __builtin_ia32_rdtsc() + *bias;
    EXPECT_LE(before, now);
    EXPECT_LE(now, clock.tsc());
  };
  expect_alike();
  clock.pause();
  EXPECT_FALSE(clock.host_tsc_bias());
  std::this_thread::sleep_for(milliseconds(5));
  clock.resume();
  expect_alike();
}

TEST(HostClock, StartsNearZeroAndNeverGoesBack) {
  HostClock clock;
  EXPECT_LT(clock.now_ns(), 60'000'000'000u);
  std::uint64_t last = 0;
  for (int i = 0; i < 10000; ++i) {
    const std::uint64_t now = clock.tsc();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(HostClock, StandsStillWhilePaused) {
  HostClock clock;
  clock.pause();
  const std::uint64_t stopped = clock.tsc();
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(clock.tsc(), stopped);
  const double before = host_ns();
  clock.resume();
  const std::uint64_t resumed = clock.tsc();
  const double after = host_ns();
  EXPECT_GE(resumed, stopped);
  // The 20 ms are not part of our time, what a busy host took from us since is.
  EXPECT_LT(static_cast<double>(resumed - stopped) * 1e9 / static_cast<double>(clock.tsc_hz()),
            after - before + 10e6);
  std::this_thread::sleep_for(milliseconds(2));
  EXPECT_GT(clock.tsc(), resumed);
}

TEST(HostClock, KnowsTheDate) {
  const std::time_t before = std::time(nullptr);
  HostClock clock;
  const auto epoch = static_cast<std::time_t>(clock.epoch_at_start());
  EXPECT_GE(epoch, before - 1);
  EXPECT_LE(epoch, std::time(nullptr) + 1);
}

}  // namespace
}  // namespace vireo
