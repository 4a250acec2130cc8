#include "base/event_loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "base/host_time.h"

namespace vireo {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

// A clock that follows the host unless a test stops it.
struct TestClock final : Clock {
  std::uint64_t now_ns() const override {
    if (const std::uint64_t fixed = stopped.load(); fixed != 0) return fixed;
    return host_ns(CLOCK_MONOTONIC);
  }
  std::uint64_t tsc() const override { return now_ns(); }
  std::uint64_t tsc_hz() const override { return 1000 * kMs; }
  std::int64_t epoch_at_start() const override { return 0; }
  std::atomic<std::uint64_t> stopped = 0;
};

struct EventLoopTest : ::testing::Test {
  EventLoopTest() {
    loop = std::move(*EventLoop::create(clock));
    // No test hangs: whatever it waits for either happens or the loop ends by this.
    guard = loop->create_timer([this] { timed_out = true, loop->stop(); });
    guard->arm(clock.now_ns() + 5000 * kMs);
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    reader = UniqueFd(ends[0]), writer = UniqueFd(ends[1]);
  }
  ~EventLoopTest() override { EXPECT_FALSE(timed_out); }

  TestClock clock;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<Timer> guard;
  bool timed_out = false;
  UniqueFd reader, writer;
};

TEST_F(EventLoopTest, TasksOfAnyThreadRunInOrderOnTheEventThread) {
  std::string order;
  std::thread::id ran_on;
  loop->post([&] { order += 'a'; });
  std::thread poster([&] {
    loop->post([&] { order += 'b', ran_on = std::this_thread::get_id(); });
    loop->post([&] { loop->post([&] { order += 'd', loop->stop(); }), order += 'c'; });
  });
  poster.join();
  loop->run();
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST_F(EventLoopTest, StopBeforeRunIsNotLost) {
  loop->stop();
  loop->run();
  loop->post([&] { loop->stop(); });  // and the loop can run again
  loop->run();
}

TEST_F(EventLoopTest, AReadableDescriptorCallsBackUntilItIsDrained) {
  std::string got;
  ASSERT_TRUE(loop->watch(reader.get(), {.readable = true}, [&](EventLoop::Ready ready) {
    EXPECT_TRUE(ready.readable);
    char c = 0;
    ASSERT_EQ(::read(reader.get(), &c, 1), 1);
    got += c;
    if (got.size() == 3) loop->stop();
  }));
  ASSERT_EQ(::write(writer.get(), "xyz", 3), 3);
  loop->run();
  EXPECT_EQ(got, "xyz");
}

TEST_F(EventLoopTest, AHangUpShowsAsReadable) {
  ASSERT_TRUE(loop->watch(reader.get(), {.readable = true}, [&](EventLoop::Ready ready) {
    EXPECT_TRUE(ready.readable);
    loop->unwatch(reader.get());
    loop->stop();
  }));
  writer = UniqueFd();
  loop->run();
}

TEST_F(EventLoopTest, InterestCanChangeToWritable) {
  ASSERT_TRUE(loop->watch(writer.get(), {}, [&](EventLoop::Ready) { FAIL(); }));
  ASSERT_TRUE(loop->watch(writer.get(), {.writable = true}, [&](EventLoop::Ready ready) {
    EXPECT_TRUE(ready.writable);
    EXPECT_FALSE(ready.readable);
    loop->stop();
  }));
  loop->run();
}

TEST_F(EventLoopTest, AnUnwatchedDescriptorIsNotCalledEvenIfItWasReadyInTheSameRound) {
  int calls = 0;
  int other_ends[2];
  ASSERT_EQ(::pipe(other_ends), 0);
  const UniqueFd other_reader(other_ends[0]), other_writer(other_ends[1]);
  const auto callback = [&](EventLoop::Ready) {
    ++calls;
    loop->unwatch(reader.get());
    loop->unwatch(other_reader.get());
    loop->post([&] { loop->stop(); });
  };
  ASSERT_TRUE(loop->watch(reader.get(), {.readable = true}, callback));
  ASSERT_TRUE(loop->watch(other_reader.get(), {.readable = true}, callback));
  ASSERT_EQ(::write(writer.get(), "x", 1), 1);
  ASSERT_EQ(::write(other_writer.get(), "x", 1), 1);
  loop->run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, ARegularFileCannotBeWatched) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  EXPECT_FALSE(loop->watch(::fileno(file), {.readable = true}, [](EventLoop::Ready) {}));
  std::fclose(file);
}

TEST_F(EventLoopTest, TimersFireInTheOrderOfTheirDeadlinesAndNeverEarly) {
  std::string order;
  const std::uint64_t start = clock.now_ns();
  auto late = loop->create_timer([&] {
    order += 'l';
    EXPECT_GE(clock.now_ns(), start + 12 * kMs);
    loop->stop();
  });
  auto early = loop->create_timer([&] {
    order += 'e';
    EXPECT_GE(clock.now_ns(), start + 3 * kMs);
  });
  late->arm(start + 12 * kMs);
  early->arm(start + 3 * kMs);
  loop->run();
  EXPECT_EQ(order, "el");
}

TEST_F(EventLoopTest, APastDeadlineFiresAtOnceButNotInsideArm) {
  bool fired = false;
  auto timer = loop->create_timer([&] { fired = true, loop->stop(); });
  timer->arm(0);
  EXPECT_FALSE(fired);
  loop->run();
  EXPECT_TRUE(fired);
}

TEST_F(EventLoopTest, ArmingAgainReplacesTheDeadlineAndCancelForgetsIt) {
  int fired = 0;
  auto moved = loop->create_timer([&] { ++fired; });
  auto cancelled = loop->create_timer([&] { FAIL(); });
  {
    auto destroyed = loop->create_timer([&] { FAIL(); });
    destroyed->arm(0);
  }
  auto end = loop->create_timer([&] { loop->stop(); });
  const std::uint64_t now = clock.now_ns();
  moved->arm(now + 1 * kMs);
  moved->arm(now + 4 * kMs);
  cancelled->arm(now + 1 * kMs);
  cancelled->cancel();
  end->arm(now + 10 * kMs);
  loop->run();
  EXPECT_EQ(fired, 1);
}

TEST_F(EventLoopTest, ACallbackMayArmItselfAndCancelAnotherThatIsDue) {
  int ticks = 0;
  std::unique_ptr<Timer> ticker, victim;
  ticker = loop->create_timer([&] {
    victim->cancel();
    if (++ticks == 5) return loop->stop();
    ticker->arm(clock.now_ns() + kMs / 2);
  });
  victim = loop->create_timer([&] { FAIL(); });
  ticker->arm(1);
  victim->arm(2);
  loop->run();
  EXPECT_EQ(ticks, 5);
}

TEST_F(EventLoopTest, ATimerArmedByAnotherThreadWakesTheLoop) {
  auto timer = loop->create_timer([&] { loop->stop(); });
  std::thread other([&] {
    ::usleep(5000);
    timer->arm(clock.now_ns() + kMs);
  });
  loop->run();
  other.join();
}

TEST_F(EventLoopTest, HeldTimersWaitUntilTheyAreReleased) {
  bool held = true;
  auto timer = loop->create_timer([&] {
    EXPECT_FALSE(held);
    loop->stop();
  });
  loop->hold_timers(true);
  timer->arm(0);
  std::thread releaser([&] {
    ::usleep(10000);
    loop->post([&] { held = false, loop->hold_timers(false); });
  });
  loop->run();
  releaser.join();
}

TEST_F(EventLoopTest, ATimerWaitsForTheVirtualClockNotTheHost) {
  const std::uint64_t start = clock.now_ns();
  clock.stopped = start;
  auto timer = loop->create_timer([&] {
    EXPECT_GE(clock.now_ns(), start + kMs);
    loop->stop();
  });
  timer->arm(start + kMs);
  std::thread mover([&] {
    ::usleep(10000);  // ten times the deadline in host time
    clock.stopped = start + kMs;
  });
  loop->run();
  mover.join();
}

}  // namespace
}  // namespace vireo
