#include "machine/halt_polling.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/host_time.h"

namespace vireo::machine {
namespace {

constexpr std::uint64_t kShort = HaltPolling::kMostNs, kLong = kShort + 1;

TEST(HaltPolling, PatienceGrowsWithShortSleepsAndFadesWithLongOnes) {
  BusyCpus cpus(2);
  HaltPolling polling(cpus);
  EXPECT_EQ(polling.patience_ns(), 0u);
  polling.note_sleep(kLong);
  EXPECT_EQ(polling.patience_ns(), 0u);
  polling.note_sleep(kShort);
  EXPECT_EQ(polling.patience_ns(), HaltPolling::kFirstNs);
  for (int i = 0; i < 10; ++i) polling.note_sleep(kShort);
  EXPECT_EQ(polling.patience_ns(), HaltPolling::kMostNs);
  polling.note_sleep(kLong);
  EXPECT_EQ(polling.patience_ns(), HaltPolling::kMostNs / 2);
  for (int i = 0; i < 3; ++i) polling.note_sleep(kLong);
  EXPECT_EQ(polling.patience_ns(), 0u);
}

TEST(HaltPolling, WithoutPatienceItOnlyLooks) {
  BusyCpus cpus(2);
  HaltPolling polling(cpus);
  WakeSignal signal;
  EXPECT_FALSE(polling.poll(signal));
  signal.raise();
  EXPECT_TRUE(polling.poll(signal));
}

TEST(HaltPolling, SeesASignalThatComesMeanwhile) {
  BusyCpus cpus(2);
  HaltPolling polling(cpus);
  for (int i = 0; i < 3; ++i) polling.note_sleep(kShort);
  // On a busy host neither thread may run in time: once is enough.
  bool seen = false;
  for (int i = 0; i < 1000 && !seen; ++i) {
    WakeSignal signal;
    std::atomic<bool> ready = false;
    std::thread other([&] {
      while (!ready.load()) {
      }
      signal.raise();
    });
    ready = true;
    seen = polling.poll(signal);
    other.join();
  }
  EXPECT_TRUE(seen);
}

TEST(HaltPolling, EndsWhenItsPatienceDoes) {
  BusyCpus cpus(2);
  HaltPolling polling(cpus);
  polling.note_sleep(kShort);
  const WakeSignal signal;
  const std::uint64_t before = host_ns(CLOCK_THREAD_CPUTIME_ID);
  EXPECT_FALSE(polling.poll(signal));
  EXPECT_LT(host_ns(CLOCK_THREAD_CPUTIME_ID) - before, 20 * HaltPolling::kFirstNs);
}

TEST(HaltPolling, GivesItsProcessorToOtherCpus) {
  BusyCpus cpus(2);
  HaltPolling polling(cpus);
  for (int i = 0; i < 3; ++i) polling.note_sleep(kShort);
  const WakeSignal signal;
  for (int cpu = 0; cpu < 3; ++cpu) cpus.enter();
  EXPECT_TRUE(cpus.crowded());
  std::uint64_t least = ~0ull;  // the host may have other plans once
  for (int i = 0; i < 10; ++i) {
    const std::uint64_t before = host_ns(CLOCK_MONOTONIC);
    EXPECT_FALSE(polling.poll(signal));
    least = std::min(least, host_ns(CLOCK_MONOTONIC) - before);
  }
  EXPECT_LT(least, HaltPolling::kFirstNs);
  cpus.leave();
  EXPECT_FALSE(cpus.crowded());
}

/// Who is to wake it needs the only one there is.
TEST(HaltPolling, OneProcessorIsAlwaysCrowded) { EXPECT_TRUE(BusyCpus(1).crowded()); }

TEST(HaltPolling, TheHostHasProcessors) { EXPECT_GE(BusyCpus::host_processors(), 1u); }

}  // namespace
}  // namespace vireo::machine
