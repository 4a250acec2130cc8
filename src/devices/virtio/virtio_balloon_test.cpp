#include "devices/virtio/virtio_balloon.h"

#include <gtest/gtest.h>

#include "devices/virtio/driver_queues.h"

namespace vireo::devices::virtio {
namespace {

constexpr std::uint64_t kAll = feature::kVersion1 | balloon::kStatistics | balloon::kPageReporting;
constexpr std::uint64_t kConfig = PciDriver::kModern + VirtioPci::kConfig;

struct VirtioBalloonTest : ::testing::Test {
  // Queues, with all features and without statistics.
  static constexpr unsigned kStatistics = 2, kReporting = 3, kReportingAlone = 2;
  static constexpr std::uint64_t kList = 0x20000, kFirst = 0x60000;

  void SetUp() override { start(kAll); }
  void start(std::uint64_t features) { queues.start(features); }
  bool offer(unsigned queue, const std::vector<DriverBuffer>& buffers) {
    queues.offer(queue, buffers);
    return queues[queue].take_used().has_value();
  }
  bool inflate(const std::vector<std::uint32_t>& pages) {
    for (std::size_t i = 0; i < pages.size(); ++i) world.put(kList + 4 * i, pages[i]);
    return offer(balloon::kInflate, {{kList, static_cast<std::uint32_t>(4 * pages.size())}});
  }
  /// Writes to pages from kFirst on, so that the host has to keep them.
  void fill(unsigned pages) {
    world.put(kList, std::uint32_t{0});
    for (unsigned i = 0; i < pages; ++i) world.put(kFirst + i * 4096, std::uint64_t{1});
  }
  std::uint64_t kept() const { return world.memory->resident_bytes(); }
  const char* error() const { return driver.card->device().driver_error(); }

  DriverMemory world;
  VirtioBalloon model{*world.memory, 0x10000};
  PciDriver driver{model, *world.memory};
  DriverQueues queues{driver, world};
};

TEST_F(VirtioBalloonTest, TheGuestHearsHowLargeItShallBe) {
  driver.enable_msix();
  driver.set_common<std::uint16_t>(16, 0);  // the vector for changes
  EXPECT_EQ(driver.load<std::uint32_t>(kConfig), 16u);
  model.set_wanted(0x20fff);
  EXPECT_EQ(driver.load<std::uint32_t>(kConfig), 32u) << "whole pages";
  EXPECT_EQ(driver.sink.sent, (std::vector<std::uint32_t>{0x40}));
  driver.store<std::uint32_t>(kConfig + 4, 20);
  driver.store<std::uint32_t>(kConfig, 99);
  EXPECT_EQ(model.actual_bytes(), 20u * 4096);
  EXPECT_EQ(model.wanted_bytes(), 0x20000u) << "the driver does not decide";
  driver.set_common<std::uint8_t>(20, 0);
  EXPECT_EQ(model.actual_bytes(), 0u);
  EXPECT_EQ(model.wanted_bytes(), 0x20000u) << "still wanted after a reset";
}

TEST_F(VirtioBalloonTest, WithoutADriverNobodyIsInterrupted) {
  driver.set_common<std::uint8_t>(20, 0);
  model.set_wanted(0);
  EXPECT_TRUE(driver.sink.sent.empty());
  EXPECT_FALSE(driver.pirqs.level);
}

TEST_F(VirtioBalloonTest, PagesGoBackToTheHost) {
  fill(8);
  const std::uint64_t before = kept();
  // In any order, and twice.
  EXPECT_TRUE(inflate({0x63, 0x61, 0x60, 0x66, 0x61}));
  EXPECT_EQ(kept(), before - 4 * 4096);
  for (unsigned i = 0; i < 8; ++i) {
    const bool gone = i == 0 || i == 1 || i == 3 || i == 6;
    EXPECT_EQ(world.get<std::uint64_t>(kFirst + i * 4096), gone ? 0u : 1u) << i;
  }
  EXPECT_EQ(model.discarded_bytes(), 4u * 4096);
}

TEST_F(VirtioBalloonTest, WhatLeavesItIsMemoryAgain) {
  fill(1);
  EXPECT_TRUE(inflate({0x60}));
  world.put(kList, std::uint32_t{0x60});
  EXPECT_TRUE(offer(balloon::kDeflate, {{kList, 4}}));
  fill(1);
  EXPECT_EQ(world.get<std::uint64_t>(kFirst), 1u);
}

TEST_F(VirtioBalloonTest, FreePagesThatAreReportedGoBack) {
  fill(8);
  const std::uint64_t before = kept();
  EXPECT_TRUE(offer(kReporting, {{kFirst, 0x3000, true}, {kFirst + 0x4800, 0x2000, true}}));
  EXPECT_EQ(kept(), before - 4 * 4096) << "a part of a page stays";
  EXPECT_EQ(world.get<std::uint64_t>(kFirst + 0x4000), 1u);
  EXPECT_EQ(world.get<std::uint64_t>(kFirst + 0x5000), 0u);
}

TEST_F(VirtioBalloonTest, WithoutStatisticsReportsAreInTheThirdQueue) {
  driver.set_common<std::uint8_t>(20, 0);
  start(kAll & ~balloon::kStatistics);
  fill(1);
  EXPECT_TRUE(offer(kReportingAlone, {{kFirst, 0x1000, true}}));
  EXPECT_EQ(world.get<std::uint64_t>(kFirst), 0u);
}

TEST_F(VirtioBalloonTest, StatisticsComeWhenTheyAreAskedFor) {
  world.put(kList, std::uint16_t{4});
  world.put(kList + 2, std::uint64_t{12345});
  world.put(kList + 10, std::uint16_t{6});
  world.put(kList + 12, std::uint64_t{777});
  EXPECT_FALSE(offer(kStatistics, {{kList, 25}})) << "the device keeps the buffer";
  EXPECT_EQ(model.statistics(), (std::map<std::uint16_t, std::uint64_t>{{4, 12345}, {6, 777}}));
  model.request_statistics();
  EXPECT_TRUE(queues[kStatistics].take_used());
  world.put(kList + 2, std::uint64_t{1});
  EXPECT_FALSE(offer(kStatistics, {{kList, 10}}));
  EXPECT_EQ(model.statistics(), (std::map<std::uint16_t, std::uint64_t>{{4, 1}}));
  EXPECT_TRUE(offer(kStatistics, {{kList, 10}})) << "the first of two comes back";
  driver.set_common<std::uint8_t>(20, 0);
  model.request_statistics();
}

TEST_F(VirtioBalloonTest, PagesThatAreNoneStayAsTheyAre) {
  EXPECT_TRUE(inflate({0xffffffff, 0xfffffffe, 0x80000, DriverMemory::kRom >> 12}));
  EXPECT_TRUE(offer(kReporting, {{~0xfffull, 0xffffffff, true}}));
  EXPECT_EQ(model.discarded_bytes(), 0u);
  EXPECT_EQ(error(), nullptr);
}

TEST_F(VirtioBalloonTest, ListsThatAreNoneNeedAReset) {
  for (const auto& buffers : std::vector<std::vector<DriverBuffer>>{
           {{kList, 6}}, {{DriverMemory::kEnd - 4, 8}}, {{kList, 0x10004}}}) {
    EXPECT_FALSE(offer(balloon::kInflate, buffers));
    EXPECT_NE(error(), nullptr);
    driver.set_common<std::uint8_t>(20, 0);
    start(kAll);
  }
  EXPECT_FALSE(offer(kStatistics, {{DriverMemory::kEnd - 4, 10}}));
  EXPECT_NE(error(), nullptr);
}

}  // namespace
}  // namespace vireo::devices::virtio
