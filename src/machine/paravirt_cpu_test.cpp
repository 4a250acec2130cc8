#include "machine/paravirt_cpu.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <thread>

namespace vireo::machine {
namespace {

constexpr std::uint32_t kTsc = 0x10, kWallClock = 0x4b564d00, kSystemTime = 0x4b564d01,
                        kStealTime = 0x4b564d03;
constexpr std::uint64_t kRam = 1 << 20, kArea = 0x4000;

struct StoppedClock final : Clock {
  std::uint64_t now_ns() const override { return ns; }
  std::uint64_t tsc() const override { return 0; }
  std::uint64_t tsc_hz() const override { return hz; }
  std::int64_t epoch_at_start() const override { return 1'700'000'000; }
  std::uint64_t ns = 0, hz = 2'100'000'000;
};

/// How a guest computes the time. Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW.
struct GuestClock {
  std::uint32_t version, padding;
  std::uint64_t tsc_timestamp, system_time;
  std::uint32_t multiplier;
  std::int8_t shift;
  std::uint8_t flags;
  std::uint16_t padding2;

  std::uint64_t ns(std::uint64_t tsc) const {
    const std::uint64_t delta = tsc - tsc_timestamp;
    const std::uint64_t shifted = shift < 0 ? delta >> -shift : delta << shift;
    return system_time +
           static_cast<std::uint64_t>(static_cast<unsigned __int128>(shifted) * multiplier >> 32);
  }
};

struct ParavirtCpuTest : ::testing::Test {
  std::unique_ptr<memory::GuestMemory> memory =
      memory::GuestMemory::create({{PhysAddr{0}, kRam, memory::RegionKind::kRam, "ram"},
                                   {PhysAddr{2 * kRam}, kRam, memory::RegionKind::kRom, "rom"}})
          .value();
  StoppedClock clock;
  ParavirtCpu cpu{*memory, clock};

  template <class T>
  T at(std::uint64_t address) {
    T result{};
    EXPECT_TRUE(memory->read_value(PhysAddr{address}, result));
    return result;
  }
  std::uint8_t preempted() { return at<std::uint8_t>(kArea + 16); }
};

TEST_F(ParavirtCpuTest, TheClockTellsTheVirtualClocksTimeByTheGuestsTsc) {
  for (const std::uint64_t hz : {2'100'000'000u, 1'000'000'000u, 3'999'999'999u, 700'000u}) {
    clock.hz = hz;
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{12345}, ~std::uint64_t{99}}) {
      EXPECT_TRUE(cpu.write_msr(kTsc, offset));
      EXPECT_TRUE(cpu.write_msr(kSystemTime, kArea | 1));
      const auto time = at<GuestClock>(kArea);
      EXPECT_EQ(time.version % 2, 0u);
      EXPECT_EQ(time.flags, 1u);
      for (const std::uint64_t seconds : {0u, 1u, 86'400u}) {
        EXPECT_NEAR(static_cast<double>(time.ns(seconds * hz + offset)),
                    static_cast<double>(seconds) * 1e9, 2 + static_cast<double>(seconds))
            << hz << " " << offset;
      }
    }
  }
}

TEST_F(ParavirtCpuTest, TheClockFollowsTheGuestsTsc) {
  EXPECT_TRUE(cpu.write_msr(kSystemTime, kArea | 1));
  const auto before = at<GuestClock>(kArea);
  EXPECT_TRUE(cpu.write_msr(kTsc, 5000));
  const auto after = at<GuestClock>(kArea);
  EXPECT_NE(after.version, before.version);
  EXPECT_EQ(after.ns(7100), before.ns(2100));
}

TEST_F(ParavirtCpuTest, ADisabledClockIsLeftAlone) {
  EXPECT_TRUE(cpu.write_msr(kSystemTime, kArea));
  EXPECT_TRUE(cpu.write_msr(kTsc, 5000));
  EXPECT_EQ(at<std::uint64_t>(kArea + 8), 0u);
  EXPECT_EQ(cpu.read_msr(kSystemTime), kArea);
}

TEST_F(ParavirtCpuTest, TheWallClockIsThatOfPowerOn) {
  EXPECT_TRUE(cpu.write_msr(kWallClock, kArea));
  const auto words = at<std::array<std::uint32_t, 3>>(kArea);
  EXPECT_EQ(words, (std::array<std::uint32_t, 3>{2, 1'700'000'000, 0}));
}

TEST_F(ParavirtCpuTest, AVersionThatTheGuestLeftOddBecomesEven) {
  memory->write_value(PhysAddr{kArea}, std::uint32_t{0xffffffff});
  EXPECT_TRUE(cpu.write_msr(kSystemTime, kArea | 1));
  EXPECT_EQ(at<std::uint32_t>(kArea), 0u);
}

// The guest may name any address; the structure may also cross the end of a page.
TEST_F(ParavirtCpuTest, StructuresOutsideMemoryAreNotThere) {
  for (const std::uint64_t address :
       {kRam - 4, kRam, 2 * kRam, 3 * kRam - 8, ~std::uint64_t{0}, ~std::uint64_t{0} - 30,
        std::uint64_t{1} << 52, std::uint64_t{0xfff}, std::uint64_t{0x1ffe}}) {
    EXPECT_TRUE(cpu.write_msr(kWallClock, address));
    EXPECT_TRUE(cpu.write_msr(kSystemTime, address | 1));
    EXPECT_TRUE(cpu.write_msr(kTsc, address));
    EXPECT_TRUE(cpu.write_msr(kStealTime, (address & ~std::uint64_t{0x3f}) | 1));
    cpu.leave();
    static_cast<void>(cpu.enter());
    clock.ns += 10'000'000;
    cpu.refresh_steal_time();
  }
  std::array<std::byte, 64> rom{}, zeroes{};
  EXPECT_TRUE(memory->read(PhysAddr{2 * kRam}, rom));
  EXPECT_EQ(rom, zeroes);
}

TEST_F(ParavirtCpuTest, ReservedBitsOfStealTimeAreRefused) {
  for (unsigned bit = 1; bit < 6; ++bit)
    EXPECT_FALSE(cpu.write_msr(kStealTime, kArea | 1 | 1u << bit)) << bit;
  EXPECT_EQ(cpu.read_msr(kStealTime), 0u);
  EXPECT_FALSE(cpu.write_msr(0x4b564d02, 0));
  EXPECT_FALSE(cpu.read_msr(0x4b564d02));
}

TEST_F(ParavirtCpuTest, AHaltedCpuIsMarkedUntilItRuns) {
  cpu.leave();
  EXPECT_EQ(preempted(), 0u) << "nobody asked for it yet";
  EXPECT_FALSE(cpu.enter());
  EXPECT_TRUE(cpu.write_msr(kStealTime, kArea | 1));
  cpu.leave();
  EXPECT_EQ(preempted(), 1u);
  EXPECT_FALSE(cpu.enter());
  EXPECT_EQ(preempted(), 0u);
  EXPECT_TRUE(cpu.write_msr(kStealTime, 0));
  cpu.leave();
  EXPECT_EQ(preempted(), 0u);
}

TEST_F(ParavirtCpuTest, AnotherCpuLeavesTheFlushOfTranslationsToIt) {
  EXPECT_TRUE(cpu.write_msr(kStealTime, kArea | 1));
  cpu.leave();
  memory->write_value(PhysAddr{kArea + 16}, std::uint8_t{3});
  EXPECT_TRUE(cpu.enter());
  EXPECT_EQ(preempted(), 0u);
  EXPECT_EQ(cpu.deferred_flushes(), 1u);
  EXPECT_FALSE(cpu.enter()) << "once is enough";
}

TEST_F(ParavirtCpuTest, WhatOthersTookOnlyGrows) {
  EXPECT_TRUE(cpu.write_msr(kStealTime, kArea | 1));
  memory->write_value(PhysAddr{kArea}, std::uint64_t{1000});
  for (int i = 0; i < 3; ++i) {
    std::this_thread::yield();
    clock.ns += 10'000'000;
    const auto before = at<std::uint64_t>(kArea);
    cpu.refresh_steal_time();
    EXPECT_GE(at<std::uint64_t>(kArea), before);
    EXPECT_EQ(at<std::uint32_t>(kArea + 8) % 2, 0u);
  }
}

TEST_F(ParavirtCpuTest, AResetForgetsEverything) {
  EXPECT_TRUE(cpu.write_msr(kStealTime, kArea | 1));
  EXPECT_TRUE(cpu.write_msr(kSystemTime, kArea | 1));
  cpu.leave();
  cpu.reset();
  EXPECT_EQ(cpu.state(), ParavirtState{});
  memory->write_value(PhysAddr{kArea + 16}, std::uint8_t{3});
  EXPECT_FALSE(cpu.enter());
  EXPECT_EQ(preempted(), 3u) << "the memory is another kernel's now";
}

}  // namespace
}  // namespace vireo::machine
