#include "backends/network/limited_backend.h"

#include <gtest/gtest.h>

#include <chrono>

#include "backends/network/recording_reader_fake.h"

namespace vireo::backends {
namespace {

constexpr MacAddress kHere{2, 0, 0, 0, 0, 1}, kThere{2, 0, 0, 0, 0, 2};
constexpr std::uint64_t kRate = 2'000'000;

/// Takes all, and counts what it is told.
struct Wire final : NetworkBackend {
  std::string name() const override { return "wire"; }
  TakenFrames takes() const override { return TakenFrames::kUnfinished; }
  void start(NetworkReader& with) override { reader = &with; }
  void stop() override { stopped = true; }
  bool send(const FrameHeader&, std::span<const std::byte>) override { return !full; }
  void resume() override {
    const std::lock_guard lock(mutex);
    ++resumed;
    changed.notify_all();
  }
  bool wait_for_resume() {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(60), [this] { return resumed > 0; });
  }
  NetworkReader* reader = nullptr;
  bool full = false, stopped = false;
  std::mutex mutex;
  std::condition_variable changed;
  unsigned resumed = 0;
};

struct LimitedBackendTest : ::testing::Test {
  LimitedBackendTest() {
    auto inner = std::make_unique<Wire>();
    wire = inner.get();
    limited = std::make_unique<LimitedBackend>(std::move(inner), kRate);
    limited->start(reader);
  }
  FrameBytes frame = text_frame(kThere, kHere, std::string(10'000, 'x'));
  RecordingReader reader;
  Wire* wire;
  std::unique_ptr<LimitedBackend> limited;
};

TEST_F(LimitedBackendTest, FramesOfTheGuestAreRefusedUntilTheirTimeHasCome) {
  const auto start = std::chrono::steady_clock::now();
  unsigned sent = 0;
  while (sent < 60) {
    if (limited->send({}, frame))
      ++sent;
    else
      ASSERT_TRUE(reader.wait_for_writable());
  }
  // 100 kB at once, 500 kB at 2 MB/s; the last may be owed.
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_GT(seconds.count(), 0.24);
}

TEST_F(LimitedBackendTest, SoAreFramesForTheGuest) {
  unsigned taken = 0;
  while (taken < 1000 && wire->reader->receive({}, frame)) ++taken;
  EXPECT_GE(taken, 10u);
  EXPECT_LT(taken, 1000u);
  EXPECT_TRUE(wire->wait_for_resume());
}

TEST_F(LimitedBackendTest, WhatTheInnerOneRefusesCostsNothing) {
  wire->full = true;
  for (unsigned i = 0; i < 1000; ++i) EXPECT_FALSE(limited->send({}, frame));
  wire->full = false;
  for (unsigned i = 0; i < 10; ++i) EXPECT_TRUE(limited->send({}, frame));
}

TEST_F(LimitedBackendTest, StopsWhileSomebodyWaits) {
  while (limited->send({}, frame)) {
  }
  limited->stop();
  EXPECT_TRUE(wire->stopped);
}

TEST(TokenBucket, FillsWithTimeUpToItsDepth) {
  constexpr std::int64_t kMs = 1'000'000;
  TokenBucket bucket(1'000'000);  // 50 kB at once
  EXPECT_TRUE(bucket.ready(1000 * kMs));
  bucket.charge(60'000);
  EXPECT_FALSE(bucket.ready(1000 * kMs));
  EXPECT_FALSE(bucket.ready(1009 * kMs));
  EXPECT_EQ(bucket.ready_at(), 1010 * kMs + 1000);
  for (std::int64_t at = 1009 * kMs; at < 1010 * kMs; at += 700) EXPECT_FALSE(bucket.ready(at));
  EXPECT_FALSE(bucket.ready(1010 * kMs)) << "however often it is asked";
  EXPECT_TRUE(bucket.ready(bucket.ready_at()));
  EXPECT_TRUE(bucket.ready(9000 * kMs));
  bucket.charge(50'000);
  EXPECT_FALSE(bucket.ready(9000 * kMs)) << "a pause fills it once";
}

TEST(TokenBucket, SlowOnesPassWholeFrames) {
  TokenBucket bucket(100);
  EXPECT_TRUE(bucket.ready(0));
  bucket.charge(65'000);
  EXPECT_FALSE(bucket.ready(600'000'000'000)) << "at most a second is made up for at a look";
  EXPECT_GT(bucket.ready_at(), 600'000'000'000);
}

}  // namespace
}  // namespace vireo::backends
