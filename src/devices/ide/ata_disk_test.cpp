#include "devices/ide/ata_disk.h"

#include <gtest/gtest.h>

#include "devices/ide/ide_world.h"

namespace vireo::devices {
namespace {

using test::IdeWorld;

struct AtaDiskTest : ::testing::Test, IdeWorld {
  std::uint16_t word(const std::vector<std::byte>& data, unsigned index) {
    return static_cast<std::uint16_t>(bus::to_number(std::span(data).subspan(2 * index, 2)));
  }
  static std::vector<std::byte> pattern(std::size_t bytes) {
    std::vector<std::byte> data(bytes);
    for (std::size_t i = 0; i < bytes; ++i) data[i] = std::byte(i * 11 >> 1 & 0xff);
    return data;
  }
};
struct ReadOnlyAtaDiskTest : ::testing::Test, IdeWorld {
  ReadOnlyAtaDiskTest() : IdeWorld(true) {}
};

TEST_F(AtaDiskTest, ResetLeavesTheSignatureOfEachKind) {
  control(4);
  EXPECT_EQ(in(kStatus), kBusy);
  control(0);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(in(kError), 1);
  EXPECT_EQ(in(kCount), 1);
  EXPECT_EQ(in(kLow), 1);
  EXPECT_EQ(in(kMid), 0);
  EXPECT_EQ(in(kHigh), 0);
  out(kDevice, 0x10);
  EXPECT_EQ(in(kMid), 0x14);
  EXPECT_EQ(in(kHigh), 0xeb);
}

TEST_F(AtaDiskTest, IdentifyTellsSizeModesAndNames) {
  command(0xec, 0, 0);
  EXPECT_EQ(quiet_status(), kWantsData);
  EXPECT_TRUE(irq.high);
  const auto data = take(512);
  EXPECT_EQ(word(data, 60) | word(data, 61) << 16, 8192);
  EXPECT_EQ(word(data, 100), 8192);
  EXPECT_EQ(word(data, 83) & 0x0400, 0x0400);
  EXPECT_EQ(word(data, 47), 0x8010);
  EXPECT_EQ(word(data, 10), 'a' << 8 | ' ');
  EXPECT_EQ(word(data, 27), 'V' << 8 | 'I');
  unsigned sum = 0;
  for (const std::byte byte : data) sum += std::to_integer<unsigned>(byte);
  EXPECT_EQ(sum & 0xff, 0u);
  EXPECT_EQ(in(kStatus), kReady);
}

TEST_F(AtaDiskTest, SectorsAreReadWithAnInterruptForEach) {
  command(0x20, 5, 2);
  EXPECT_EQ(irq.edges, 1u);
  EXPECT_EQ(in(kStatus), kWantsData);
  EXPECT_FALSE(irq.high);
  EXPECT_EQ(take(512), part(disk, 5 * 512, 512));
  EXPECT_EQ(irq.edges, 2u);
  EXPECT_EQ(take(512), part(disk, 6 * 512, 512));
  EXPECT_EQ(irq.edges, 2u);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(take(2), (std::vector<std::byte>{std::byte{0xff}, std::byte{0xff}}));
}

TEST_F(AtaDiskTest, ACountOfZeroIs256Sectors) {
  command(0x20, 0, 0);
  for (unsigned i = 0; i < 256; ++i) {
    ASSERT_EQ(in(kStatus), kWantsData) << i;
    EXPECT_EQ(take(512), part(disk, i * 512, 512));
  }
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(irq.edges, 256u);
}

TEST_F(AtaDiskTest, SectorsAreWrittenBlockByBlock) {
  const auto data = pattern(1024);
  command(0x30, 9, 2);
  EXPECT_EQ(irq.edges, 0u);
  EXPECT_EQ(in(kStatus), kWantsData);
  give(std::span(data).first(512));
  EXPECT_EQ(irq.edges, 1u);
  EXPECT_EQ(in(kStatus), kWantsData);
  give(std::span(data).last(512));
  EXPECT_EQ(irq.edges, 2u);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(part(disk, 9 * 512, 1024), data);
  EXPECT_EQ(disk.log, "ww");
}

TEST_F(AtaDiskTest, BlocksOfSeveralSectorsNeedToBeSet) {
  command(0xc4, 0, 4);
  EXPECT_EQ(in(kStatus), kFailed);
  EXPECT_EQ(in(kError), 4);
  for (const unsigned bad : {3u, 32u, 255u}) {
    command(0xc6, 0, bad);
    EXPECT_EQ(in(kStatus), kFailed) << bad;
  }
  command(0xc6, 0, 4);
  EXPECT_EQ(in(kStatus), kReady);
  irq.edges = 0;
  command(0xc4, 0, 6);
  EXPECT_EQ(in(kStatus), kWantsData);
  EXPECT_EQ(take(4 * 512), part(disk, 0, 4 * 512));
  EXPECT_EQ(in(kStatus), kWantsData);
  EXPECT_EQ(take(2 * 512), part(disk, 4 * 512, 2 * 512));
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(irq.edges, 2u);
  const auto data = pattern(6 * 512);
  command(0xc5, 20, 6);
  give(data);
  EXPECT_EQ(part(disk, 20 * 512, data.size()), data);
}

TEST_F(AtaDiskTest, WideAddressesReachBehind28Bits) {
  wide_command(0x24, 4095, 2);
  EXPECT_EQ(take(1024), part(disk, 4095 * 512, 1024));
  wide_command(0x24, std::uint64_t{1} << 32, 1);
  EXPECT_EQ(in(kStatus), kFailed);
  EXPECT_EQ(in(kError), 0x10);
  wide_command(0x27, 0, 0);
  EXPECT_EQ(in(kLow) | in(kMid) << 8, 8191);
  control(0x80);
  EXPECT_EQ(in(kLow), 0);
}

TEST_F(AtaDiskTest, AddressesByCylinderFollowTheGeometry) {
  out(kDevice, 0x0f), out(kCount, 63), out(kStatus, 0x91);
  EXPECT_EQ(in(kStatus), kReady);
  out(kDevice, 0x02), out(kCount, 1), out(kLow, 4), out(kMid, 3), out(kHigh, 0);
  out(kStatus, 0x20);
  EXPECT_EQ(take(512), part(disk, ((3 * 16 + 2) * 63 + 3) * 512, 512));
  for (const unsigned sector : {0u, 64u}) {
    out(kDevice, 0x02), out(kCount, 1), out(kLow, sector), out(kMid, 0);
    out(kStatus, 0x20);
    EXPECT_EQ(in(kStatus), kFailed) << sector;
  }
}

TEST_F(AtaDiskTest, WhatLiesBehindTheEndIsNotTouched) {
  for (const unsigned code : {0x20u, 0x30u, 0xc8u, 0xcau, 0x40u}) {
    command(code, 8191, 2);
    EXPECT_EQ(in(kStatus), kFailed) << code;
    EXPECT_EQ(in(kError), 0x10) << code;
  }
  wide_command(0x35, 0xffff'ffff'ffff, 0);
  EXPECT_EQ(in(kStatus), kFailed);
  EXPECT_EQ(disk.log, "");
  command(0x40, 8191, 1);
  EXPECT_EQ(in(kStatus), kReady);
}

TEST_F(AtaDiskTest, FailuresOfTheHostAreTheDisksErrors) {
  disk.error = 5;
  command(0x20, 0, 1);
  EXPECT_EQ(in(kStatus), kFailed);
  EXPECT_EQ(in(kError), 0x40);
  disk.error = 28;
  command(0x30, 0, 1);
  give(pattern(512));
  EXPECT_EQ(in(kStatus), kFailed);
  EXPECT_EQ(in(kError), 4);
  command(0x20, 0, 1);
  EXPECT_EQ(in(kStatus), kWantsData);
}

TEST_F(AtaDiskTest, AFlushIsDoneWhenTheMediumSaysSo) {
  disk.held = true;
  command(0xe7, 0, 0);
  EXPECT_EQ(in(kStatus), kBusy);
  EXPECT_EQ(disk.log, "f");
  disk.run();
  EXPECT_TRUE(irq.high);
  EXPECT_EQ(in(kStatus), kReady);
}

TEST_F(AtaDiskTest, WithoutAWriteCacheEachWriteIsFlushed) {
  out(kDevice, 0), out(kError, 0x82), out(kStatus, 0xef);
  EXPECT_EQ(in(kStatus), kReady);
  command(0x30, 0, 1);
  give(pattern(512));
  EXPECT_EQ(disk.log, "wf");
  EXPECT_EQ(in(kStatus), kReady);
}

TEST_F(AtaDiskTest, SmartSaysThatAllIsWell) {
  out(kDevice, 0), out(kError, 0xda), out(kMid, 0x4f), out(kHigh, 0xc2), out(kStatus, 0xb0);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(in(kMid), 0x4f);
  out(kError, 0xd0), out(kStatus, 0xb0);
  unsigned sum = 0;
  for (const std::byte byte : take(512)) sum += std::to_integer<unsigned>(byte);
  EXPECT_EQ(sum & 0xff, 0u);
  out(kMid, 0), out(kStatus, 0xb0);
  EXPECT_EQ(in(kStatus), kFailed);
}

TEST_F(AtaDiskTest, UnknownCommandsAreAborted) {
  for (const unsigned code : {0x01u, 0x08u, 0xa0u, 0xa1u, 0xffu}) {
    command(code, 0, 1);
    EXPECT_EQ(in(kStatus), kFailed) << code;
    EXPECT_EQ(in(kError), 4) << code;
  }
}

TEST_F(ReadOnlyAtaDiskTest, WritesAreAbortedAndFlushesAreNot) {
  for (const unsigned code : {0x30u, 0xcau}) {
    command(code, 0, 1);
    EXPECT_EQ(in(kStatus), kFailed);
  }
  command(0xe7, 0, 0);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(disk.log, "");
}

}  // namespace
}  // namespace vireo::devices
