#include "devices/firmware/flash.h"

#include <gtest/gtest.h>

#include <map>

namespace vireo::devices {
namespace {

constexpr std::uint64_t kSize = 4 * Flash::kBlockBytes;

struct FlashTest : ::testing::Test {
  void write(std::uint64_t offset, std::uint8_t value) {
    const std::byte byte{value};
    flash.write(offset, std::span(&byte, 1));
  }
  void program(std::uint64_t offset, std::uint8_t value) {
    write(offset, 0x10);
    write(offset, value);
  }
  void erase(std::uint64_t offset) {
    write(offset, 0x20);
    write(offset, 0xd0);
  }
  unsigned read(std::uint64_t offset) {
    std::byte byte{};
    flash.read(offset, std::span(&byte, 1));
    return std::to_integer<unsigned>(byte);
  }
  unsigned array(std::uint64_t offset) {
    write(offset, 0xff);
    return read(offset);
  }

  std::vector<std::byte> file = std::vector<std::byte>(kSize, std::byte{0x5a});
  std::error_code failure;
  unsigned kept = 0;
  Flash flash{file, [this](std::uint64_t offset, std::span<const std::byte> bytes) {
                ++kept;
                if (!failure)
                  std::ranges::copy(bytes, file.begin() + static_cast<std::ptrdiff_t>(offset));
                return failure;
              }};
};

TEST_F(FlashTest, ReadsAsMemoryInAnyWidth) {
  std::array<std::byte, 8> bytes{};
  flash.read(kSize - 8, bytes);
  for (const std::byte byte : bytes) EXPECT_EQ(byte, std::byte{0x5a});
}

TEST_F(FlashTest, ProgrammingTakesBitsAwayAndErasingGivesThemBack) {
  erase(Flash::kBlockBytes + 17);
  EXPECT_EQ(read(0), 0x80u) << "the status, until the array is asked for";
  EXPECT_EQ(array(Flash::kBlockBytes), 0xffu);
  EXPECT_EQ(array(2 * Flash::kBlockBytes - 1), 0xffu);
  EXPECT_EQ(array(Flash::kBlockBytes - 1), 0x5au);
  EXPECT_EQ(array(2 * Flash::kBlockBytes), 0x5au);
  program(Flash::kBlockBytes, 0xf0);
  program(Flash::kBlockBytes, 0x3c);
  EXPECT_EQ(array(Flash::kBlockBytes), 0x30u);
  write(Flash::kBlockBytes + 1, 0x40);
  write(Flash::kBlockBytes + 1, 0x12);
  EXPECT_EQ(array(Flash::kBlockBytes + 1), 0x12u);
}

TEST_F(FlashTest, EveryChangeIsKeptBeforeTheGuestGoesOn) {
  erase(0);
  EXPECT_EQ(file[Flash::kBlockBytes - 1], std::byte{0xff});
  EXPECT_EQ(file[Flash::kBlockBytes], std::byte{0x5a});
  program(kSize - 1, 0x18);
  EXPECT_EQ(file[kSize - 1], std::byte{0x18});
  const std::array<std::byte, 4> wide{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  write(8, 0x10);
  flash.write(8, wide);
  EXPECT_EQ(std::vector(file.begin() + 8, file.begin() + 12),
            std::vector(wide.begin(), wide.end()));
}

TEST_F(FlashTest, CommandsAloneChangeNothing) {
  for (unsigned command = 0; command < 256; ++command) {
    if (command == 0x10 || command == 0x40 || command == 0x20) continue;
    write(3, static_cast<std::uint8_t>(command));
  }
  write(3, 0x20);
  write(3, 0x00);
  EXPECT_EQ(read(3), 0xb0u) << "an erase that is not confirmed is a wrong sequence";
  EXPECT_EQ(array(3), 0x5au);
  EXPECT_EQ(kept, 0u);
}

TEST_F(FlashTest, IsKnownByItsStatus) {
  program(0, 0x5a);
  write(0, 0x50);
  EXPECT_EQ(read(0), 0x5au);
  write(0, 0x70);
  EXPECT_EQ(read(0), 0u);
}

TEST_F(FlashTest, WhatTheHostDoesNotKeepIsAnErrorOfTheGuest) {
  failure = std::make_error_code(std::errc::no_space_on_device);
  program(0, 0);
  EXPECT_EQ(read(0), 0x90u);
  write(0, 0x50);
  erase(0);
  EXPECT_EQ(read(0), 0xa0u);
}

TEST_F(FlashTest, AResetShowsTheArray) {
  write(0, 0x10);
  flash.reset();
  EXPECT_EQ(read(0), 0x5au);
}

}  // namespace
}  // namespace vireo::devices
