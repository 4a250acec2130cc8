#include "devices/ide/atapi_cdrom.h"

#include <gtest/gtest.h>

#include "devices/ide/ide_world.h"

namespace vireo::devices {
namespace {

using test::IdeWorld;

struct AtapiCdromTest : ::testing::Test, IdeWorld {
  static constexpr std::uint8_t kNextPacket = 1, kNextData = 2, kDone = 3;

  /// How many bytes the drive gives at once.
  unsigned piece() { return in(kMid) | static_cast<unsigned>(in(kHigh)) << 8; }
  /// What a packet command answers, in one piece.
  std::vector<std::byte> ask(std::vector<unsigned> bytes) {
    packet(std::move(bytes));
    if (in(kStatus) != kWantsData) return {};
    EXPECT_EQ(in(kCount), kNextData);
    auto data = take(piece());
    EXPECT_EQ(in(kStatus), kReady);
    EXPECT_EQ(in(kCount), kDone);
    return data;
  }
  static unsigned number(std::span<const std::byte> bytes) {
    unsigned value = 0;
    for (const std::byte byte : bytes) value = value << 8 | std::to_integer<unsigned>(byte);
    return value;
  }
  /// Key and code of the last failure.
  std::pair<unsigned, unsigned> sense() {
    const auto data = ask({0x03, 0, 0, 0, 18});
    EXPECT_EQ(data.size(), 18u);
    if (data.size() != 18) return {};
    return {std::to_integer<unsigned>(data[2]), std::to_integer<unsigned>(data[12])};
  }
};

TEST_F(AtapiCdromTest, IdentifyAsADiskSaysWhatItIs) {
  out(kDevice, 0x10), out(kStatus, 0xec);
  EXPECT_EQ(in(kStatus), kFailed);
  EXPECT_EQ(in(kMid), 0x14);
  EXPECT_EQ(in(kHigh), 0xeb);
  out(kStatus, 0xa1);
  EXPECT_EQ(in(kStatus), kWantsData);
  EXPECT_EQ(take(2)[1], std::byte{0x85});
  take(510);
  EXPECT_EQ(in(kStatus), kReady);
}

TEST_F(AtapiCdromTest, APacketIsAskedForWithoutAnInterrupt) {
  out(kDevice, 0x10), out(kStatus, 0xa0);
  EXPECT_EQ(in(kStatus), kWantsData);
  EXPECT_EQ(in(kCount), kNextPacket);
  EXPECT_EQ(irq.edges, 0u);
  give(std::vector<std::byte>(12));  // TEST UNIT READY
  EXPECT_EQ(irq.edges, 1u);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(in(kCount), kDone);
}

TEST_F(AtapiCdromTest, SectorsAreReadInPiecesOfTheHostsChoice) {
  packet({0x28, 0, 0, 0, 0, 3, 0, 0, 2}, 1000);
  const auto wanted = part(disc, 3 * 2048, 2 * 2048);
  std::vector<std::byte> got;
  while (in(kStatus) == kWantsData) {
    const std::size_t size = piece();
    ASSERT_LE(size, 1000u);
    ASSERT_GT(size, 0u);
    const auto data = take(size);
    got.insert(got.end(), data.begin(), data.end());
  }
  EXPECT_EQ(got, wanted);
  EXPECT_EQ(irq.edges, 6u);  // five pieces and the end
}

TEST_F(AtapiCdromTest, OddAndEmptyPiecesAreMadeEven) {
  for (const unsigned limit : {0u, 1u, 7u, 0xffffu}) {
    packet({0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 1}, limit);
    EXPECT_EQ(in(kStatus), kWantsData) << limit;
    const unsigned size = piece();
    EXPECT_EQ(size, limit == 7 ? 6u : 2048u) << limit;
    EXPECT_EQ(take(size), part(disc, 2048, size)) << limit;
    control(4), control(0);
  }
}

TEST_F(AtapiCdromTest, SectorsAreReadByDma) {
  put_table({{kData, 4096}});
  start_master(true);
  packet({0x28, 0, 0, 0, 0, 5, 0, 0, 2}, 0, true);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(in(kCount), kDone);
  EXPECT_EQ(at(kData, 4096), part(disc, 5 * 2048, 4096));
  set_master(0, 0);
  put_table({{kData, 64}});
  start_master(true);
  packet({0x12, 0, 0, 0, 36}, 0, true);
  EXPECT_EQ(in(kStatus), kReady);
  EXPECT_EQ(at(kData + 8, 5),
            (std::vector<std::byte>{std::byte{'V'}, std::byte{'I'}, std::byte{'R'}, std::byte{'E'},
                                    std::byte{'O'}}));
}

TEST_F(AtapiCdromTest, WhatLiesBehindTheEndIsAnIllegalRequest) {
  for (const auto& bytes :
       std::vector<std::vector<unsigned>>{{0x28, 0, 0, 0, 0, 63, 0, 0, 2},
                                          {0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff},
                                          {0xa8, 0, 0, 0, 0, 64, 0xff, 0xff, 0xff, 0xff},
                                          {0xbe, 0, 0, 0, 0, 64, 0, 0, 1, 0x10}}) {
    packet(bytes);
    EXPECT_EQ(in(kStatus), kFailed);
    EXPECT_EQ(in(kError), 0x50);
    EXPECT_EQ(sense(), std::pair(5u, 0x21u));
  }
  EXPECT_EQ(disc.log, "");
}

TEST_F(AtapiCdromTest, AFailureOfTheHostIsAMediumError) {
  disc.error = 5;
  packet({0x28, 0, 0, 0, 0, 0, 0, 0, 1});
  EXPECT_EQ(in(kStatus), kFailed);
  EXPECT_EQ(sense(), std::pair(3u, 0x11u));
  EXPECT_EQ(sense(), std::pair(0u, 0u));
}

TEST_F(AtapiCdromTest, CapacityAndTableOfContentsTellTheSize) {
  const auto capacity = ask({0x25});
  EXPECT_EQ(number(std::span(capacity).first(4)), 63u);
  EXPECT_EQ(number(std::span(capacity).last(4)), 2048u);
  const auto table = ask({0x43, 0, 0, 0, 0, 0, 0, 0, 255});
  ASSERT_EQ(table.size(), 20u);
  EXPECT_EQ(number(std::span(table).first(2)), 18u);
  EXPECT_EQ(table[14], std::byte{0xaa});
  EXPECT_EQ(number(std::span(table).last(4)), 64u);
  const auto minutes = ask({0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255});
  ASSERT_EQ(minutes.size(), 12u);
  EXPECT_EQ(number(std::span(minutes).last(4)), 2u << 8 | 64u);
  EXPECT_EQ(ask({0x43, 0, 1, 0, 0, 0, 0, 0, 255}).size(), 12u);
  EXPECT_EQ(ask({0x43, 0, 2, 0, 0, 0, 0, 0, 255}).size(), 4u + 4 * 11);
  for (const auto& bytes : std::vector<std::vector<unsigned>>{{0x43, 0, 0, 0, 0, 0, 2, 0, 255},
                                                              {0x43, 0, 5, 0, 0, 0, 0, 0, 255}}) {
    EXPECT_TRUE(ask(bytes).empty());
    EXPECT_EQ(sense(), std::pair(5u, 0x24u));
  }
}

TEST_F(AtapiCdromTest, AnswersEndWhereTheHostHasNoRoom) {
  EXPECT_EQ(ask({0x12, 0, 0, 0, 5}).size(), 5u);
  EXPECT_EQ(ask({0x12, 0, 0, 0, 0}).size(), 0u);
  EXPECT_EQ(ask({0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 8}).size(), 8u);
  EXPECT_EQ(ask({0x46, 0, 0, 0, 0, 0, 0, 0, 8}).size(), 8u);
}

TEST_F(AtapiCdromTest, EventsPagesAndFeaturesAreThere) {
  const auto event = ask({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
  ASSERT_EQ(event.size(), 8u);
  EXPECT_EQ(event[5], std::byte{2});  // a disc is in the drive
  EXPECT_EQ(ask({0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8}).size(), 4u);
  EXPECT_TRUE(ask({0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8}).empty());
  const auto page = ask({0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 64});
  ASSERT_EQ(page.size(), 30u);
  EXPECT_EQ(number(std::span(page).first(2)), 28u);
  EXPECT_TRUE(ask({0x5a, 0, 0x05, 0, 0, 0, 0, 0, 64}).empty());
  const auto features = ask({0x46, 0, 0, 0, 0, 0, 0, 1, 0});
  ASSERT_GT(features.size(), 8u);
  EXPECT_EQ(number(std::span(features).first(4)), features.size() - 4);
  EXPECT_EQ(ask({0x46, 2, 0, 0x10, 0, 0, 0, 1, 0}).size(), 20u);
  EXPECT_EQ(ask({0x51, 0, 0, 0, 0, 0, 0, 0, 34}).size(), 34u);
  EXPECT_EQ(ask({0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8}).size(), 8u);
}

TEST_F(AtapiCdromTest, UnknownPacketsAreIllegalRequests) {
  for (const unsigned code : {0x01u, 0x2au, 0xffu}) {
    packet({code});
    EXPECT_EQ(in(kStatus), kFailed);
    EXPECT_EQ(sense(), std::pair(5u, 0x20u));
  }
}

TEST_F(AtapiCdromTest, ADeviceResetEndsATransfer) {
  packet({0x28, 0, 0, 0, 0, 0, 0, 0, 4}, 512);
  EXPECT_EQ(in(kStatus), kWantsData);
  out(kStatus, 0x08);
  EXPECT_EQ(in(kStatus), 0);
  EXPECT_EQ(in(kMid), 0x14);
  EXPECT_EQ(ask({0x25}).size(), 8u);
}

}  // namespace
}  // namespace vireo::devices
