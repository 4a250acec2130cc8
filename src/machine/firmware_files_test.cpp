#include "machine/firmware_files.h"

#include <gtest/gtest.h>

#include <string>

#include "bus/access_split.h"
#include "memory/guest_memory.h"

namespace vireo::machine {
namespace {

/// Reads items as firmware does.
struct FirmwareFilesTest : ::testing::Test {
  std::string item(unsigned key, std::size_t bytes) {
    std::array<std::byte, 2> selector{};
    bus::from_number(selector, key);
    fw_cfg.write(0, selector);
    std::string result;
    for (std::size_t i = 0; i < bytes; ++i) {
      std::byte data{};
      fw_cfg.read(1, {&data, 1});
      result += static_cast<char>(data);
    }
    return result;
  }
  static std::uint32_t big_endian(const std::string& text, std::size_t at, std::size_t size) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
      value = value << 8 | static_cast<std::uint8_t>(text.at(at + i));
    return value;
  }
  std::string file(const std::string& name) {
    constexpr std::size_t kEntry = 64;
    const std::uint32_t count = big_endian(item(devices::FwCfg::kDirectory, 4), 0, 4);
    const std::string directory = item(devices::FwCfg::kDirectory, 4 + count * kEntry).substr(4);
    for (std::size_t at = 0; at < directory.size(); at += kEntry) {
      if (directory.substr(at + 8, name.size() + 1) == name + '\0')
        return item(big_endian(directory, at + 4, 2), big_endian(directory, at, 4));
    }
    return "missing";
  }

  static std::function<std::uint16_t()> at(std::uint16_t base) {
    return [base] { return base; };
  }

  std::unique_ptr<memory::GuestMemory> memory = std::move(
      *memory::GuestMemory::create({{PhysAddr{0}, 0x1000, memory::RegionKind::kRam, "ram"}}));
  devices::FwCfg fw_cfg{*memory, {std::uint64_t{4} << 30, 2}};
};

TEST_F(FirmwareFilesTest, MemoryBootOrderTablesAndVideoBiosAreThere) {
  const std::array<std::byte, 3> video_bios{std::byte{0x55}, std::byte{0xaa}, std::byte{1}};
  ASSERT_TRUE(add_firmware_files(
      fw_cfg,
      {{2, std::uint64_t{4} << 30, 0, true}, {"/first", "/second"}, video_bios, at(0x600)}));
  EXPECT_EQ(file("bootorder"), std::string("/first\n/second\0", 15));
  EXPECT_EQ(file("pci1234,1111.rom"), "\x55\xaa\x01");
  const std::string map = file("etc/e820");
  ASSERT_EQ(map.size(), 40u);
  EXPECT_EQ(map.substr(8, 8), std::string("\0\0\0\xc0\0\0\0\0", 8));
  EXPECT_EQ(map.substr(20, 16), std::string("\0\0\0\0\1\0\0\0\0\0\0\x40\0\0\0\0", 16));
  EXPECT_EQ(file("etc/acpi/rsdp").substr(0, 8), "RSD PTR ");
  EXPECT_NE(file("etc/table-loader"), "missing");
  EXPECT_EQ(file("etc/smbios/smbios-anchor").substr(0, 4), "_SM_");
}

TEST_F(FirmwareFilesTest, TablesTellWhereFirmwareHasPutPowerManagement) {
  std::uint16_t base = 0x600;
  ASSERT_TRUE(add_firmware_files(fw_cfg, {{1, 64 << 20, 0, false}, {}, {}, [&] { return base; }}));
  const auto timer = [&] {
    const std::string tables = file("etc/acpi/tables");
    return tables.substr(tables.find("FACP") + 76, 4);  // PM_TMR_BLK
  };
  EXPECT_EQ(timer(), std::string("\x08\x06\0\0", 4));
  base = 0xb000;
  EXPECT_EQ(timer(), std::string("\x08\xb0\0\0", 4));
}

TEST_F(FirmwareFilesTest, WithoutDisksAndDisplayTheirFilesAreMissing) {
  ASSERT_TRUE(add_firmware_files(fw_cfg, {{1, 64 << 20, 0, false}, {}, {}, at(0x600)}));
  EXPECT_EQ(file("bootorder"), "missing");
  EXPECT_EQ(file("pci1234,1111.rom"), "missing");
  EXPECT_EQ(file("etc/e820").size(), 20u);
}

}  // namespace
}  // namespace vireo::machine
