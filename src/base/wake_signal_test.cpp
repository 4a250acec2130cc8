#include "base/wake_signal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <thread>

namespace vireo {
namespace {

TEST(WakeSignal, ASignalBeforeTheWaitIsNotLost) {
  WakeSignal signal;
  signal.raise();
  signal.wait();
  signal.wait();  // it stands until it is cleared
  signal.clear();
  signal.raise();
  signal.raise();
  signal.wait();
}

TEST(WakeSignal, TwoThreadsWakeEachOtherEveryTime) {
  constexpr int kRounds = 20000;
  WakeSignal ping, pong;
  std::atomic<int> sent = 0, answered = 0;
  std::thread other([&] {
    for (int round = 1; round <= kRounds; ++round) {
      for (ping.clear(); sent.load() < round; ping.clear()) ping.wait();
      answered.store(round);
      pong.raise();
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    sent.store(round);
    ping.raise();
    for (pong.clear(); answered.load() < round; pong.clear()) pong.wait();
  }
  other.join();
  EXPECT_EQ(answered, kRounds);
}

TEST(WakeSignal, WhoWaitsSleeps) {
  WakeSignal signal;
  double used = 0;
  std::thread sleeper([&] {
    signal.wait();
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    used = static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  signal.raise();
  sleeper.join();
  EXPECT_LT(used, 0.05);
}

}  // namespace
}  // namespace vireo
