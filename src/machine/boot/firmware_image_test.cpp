#include "machine/boot/firmware_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "base/unique_fd.h"
#include "machine/memory_layout.h"

namespace vireo::machine {
namespace {

using ::testing::HasSubstr;

struct FirmwareImageTest : ::testing::Test {
  FirmwareImageTest() { const UniqueFd fd(::mkstemp(name)); }
  ~FirmwareImageTest() override { ::unlink(name); }
  Result<FirmwareImage> read(std::size_t bytes) {
    std::string content(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(i >> 10);
    std::ofstream(name, std::ios::binary) << content;
    return read_firmware(name);
  }
  char name[32] = "/tmp/vireo-firmware-XXXXXX";
};

TEST_F(FirmwareImageTest, TheImageEndsAt4GiBAndItsLast128KiBAt1MiB) {
  const auto image = read(256 << 10);
  ASSERT_TRUE(image);
  auto regions = ram_regions(16 << 20);
  regions.push_back(firmware_region(*image));
  const auto memory = std::move(*memory::GuestMemory::create(regions));
  put_firmware(*memory, *image);
  std::uint8_t byte = 0;
  ASSERT_TRUE(memory->read_value(PhysAddr{0xffff'fff0}, byte));
  EXPECT_EQ(byte, 255);
  ASSERT_TRUE(memory->read_value(PhysAddr{0xfffc'0400}, byte));
  EXPECT_EQ(byte, 1);
  ASSERT_TRUE(memory->read_value(PhysAddr{0xe0000}, byte));
  EXPECT_EQ(byte, 128);
  memory->write_value(PhysAddr{0xffff'fff0}, std::uint8_t{7});
  memory->read_value(PhysAddr{0xffff'fff0}, byte);
  EXPECT_EQ(byte, 255);
}

TEST_F(FirmwareImageTest, SmallImagesLeaveTheRestOfShadowRamAlone) {
  const auto image = read(64 << 10);
  ASSERT_TRUE(image);
  const auto memory = std::move(*memory::GuestMemory::create(ram_regions(16 << 20)));
  memory->write_value(PhysAddr{0xe0000}, std::uint8_t{9});
  put_firmware(*memory, *image);
  std::uint8_t byte = 0;
  memory->read_value(PhysAddr{0xe0000}, byte);
  EXPECT_EQ(byte, 9);
  memory->read_value(PhysAddr{0xf0400}, byte);
  EXPECT_EQ(byte, 1);
}

TEST_F(FirmwareImageTest, WhatIsNoFirmwareIsRefused) {
  for (const std::size_t bytes : {0u, 4096u, (256u << 10) + 1, (16u << 20) + 4096}) {
    const auto image = read(bytes);
    ASSERT_FALSE(image) << bytes;
    EXPECT_EQ(image.error().blame, Blame::kUsage);
    EXPECT_THAT(image.error().message, HasSubstr(name));
  }
  EXPECT_FALSE(read_firmware("/nowhere/firmware"));
}

}  // namespace
}  // namespace vireo::machine
