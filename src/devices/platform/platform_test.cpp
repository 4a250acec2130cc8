#include <gtest/gtest.h>

#include "backends/character/memory_backend.h"
#include "bus/access_split.h"
#include "bus/address_map.h"
#include "devices/platform/debug_ports.h"
#include "devices/platform/test_device.h"

namespace vireo::devices {
namespace {

struct PlatformTest : ::testing::Test {
  std::uint64_t in(bus::AddressMap& map, std::uint64_t address, std::size_t size) {
    std::vector<std::byte> data(size);
    map.read(address, data);
    return bus::to_number(data);
  }
  void out(bus::AddressMap& map, std::uint64_t address, std::uint64_t value, std::size_t size) {
    std::vector<std::byte> data(size);
    bus::from_number(data, value);
    map.write(address, data);
  }
  bus::AddressMap mmio, pio;
};

TEST_F(PlatformTest, TheDebugConsoleTellsThatItIsThere) {
  backends::MemoryBackend log;
  DebugConsole console(log);
  ASSERT_TRUE(pio.add(DebugConsole::kPort, 1, console, "debug console"));
  EXPECT_EQ(in(pio, 0xe9, 1), 0xe9u);
  out(pio, 0xe9, 'h', 1);
  out(pio, 0xe9, 'i', 1);
  EXPECT_EQ(log.output(), "hi");
}

TEST_F(PlatformTest, TheDebugExitGetsValuesOfAnyWidth) {
  std::vector<std::uint32_t> values;
  DebugExit exit([&](std::uint32_t value) { values.push_back(value); });
  ASSERT_TRUE(pio.add(DebugExit::kPort, DebugExit::kSize, exit, "debug exit"));
  out(pio, 0xf4, 0x10, 1);
  out(pio, 0xf4, 0x12345678, 4);
  EXPECT_EQ(values, (std::vector<std::uint32_t>{0x10, 0x12345678}));
  EXPECT_EQ(DebugExit::exit_status(0), 1);
  EXPECT_EQ(DebugExit::exit_status(0x10), 0x21);
  EXPECT_EQ(DebugExit::exit_status(0xff), 0xff);
}

TEST_F(PlatformTest, ThePostPortRemembersTheLastCode) {
  PostPort post;
  ASSERT_TRUE(pio.add(PostPort::kPort, 1, post, "POST"));
  out(pio, 0x80, 0x42, 1);
  EXPECT_EQ(post.last_code(), 0x42);
  EXPECT_EQ(in(pio, 0x80, 1), 0x42u);
}

struct Line final : bus::IrqLine {
  void set_level(bool value) override { high = value; }
  bool high = false;
};

TEST_F(PlatformTest, TheTestDeviceEchoesInAnyWidthAndMovesLines) {
  Line line;
  std::array<bus::IrqLine*, TestDevice::kLines> lines{};
  lines[21] = &line;
  TestDevice device(lines);
  ASSERT_TRUE(device.attach(mmio, pio));
  out(pio, 0xe0, 0x11223344, 4);
  EXPECT_EQ(in(pio, 0xe0, 4), 0x11223344u);
  EXPECT_EQ(in(pio, 0xe1, 2), 0x2233u);
  out(pio, 0xe3, 0x55, 1);
  EXPECT_EQ(in(pio, 0xe0, 4), 0x55223344u);
  out(pio, 0xe8, 0x66, 1);
  EXPECT_EQ(in(pio, 0xe0, 1), 0x66u);
  out(pio, 0xe4, 0x1000, 4);
  out(pio, 0x2015, 1, 1);
  EXPECT_TRUE(line.high);
  out(pio, 0x2015, 0, 1);
  EXPECT_FALSE(line.high);
  out(pio, 0x2003, 1, 1);  // not connected
  out(mmio, 0xff00fff8, 0x1122334455667788, 8);
  EXPECT_EQ(in(mmio, 0xff00fffc, 4), 0x11223344u);
}

}  // namespace
}  // namespace vireo::devices
