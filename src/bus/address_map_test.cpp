#include "bus/address_map.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "bus/access_split.h"
#include "bus/shared_irq_line.h"

namespace vireo::bus {
namespace {

/// Reads as a pattern of its offsets and notes every write.
struct Recorder final : BusDevice {
  void read(std::uint64_t offset, std::span<std::byte> data) override {
    sizes.push_back(data.size());
    for (std::size_t i = 0; i < data.size(); ++i)
      data[i] = static_cast<std::byte>(base + offset + i);
  }
  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    sizes.push_back(data.size());
    last_offset = offset;
    last = to_number(data);
  }
  std::uint64_t base = 0;
  std::vector<std::size_t> sizes;
  std::uint64_t last_offset = 0, last = 0;
};

std::uint64_t read(AddressMap& map, std::uint64_t address, std::size_t size) {
  std::vector<std::byte> data(size);
  map.read(address, data);
  return to_number(data);
}
void write(AddressMap& map, std::uint64_t address, std::uint64_t number, std::size_t size) {
  std::vector<std::byte> data(size);
  from_number(data, number);
  map.write(address, data);
}

TEST(AddressMap, WhatNobodyClaimsReadsAsAllOnesAndIsDroppedWhenWritten) {
  AddressMap map;
  EXPECT_EQ(read(map, 0x1234, 4), 0xffffffffu);
  write(map, 0x1234, 1, 4);
}

TEST(AddressMap, ADeviceSeesOffsetsInItsWindow) {
  AddressMap map;
  Recorder device;
  ASSERT_TRUE(map.add(0x100, 8, device, "device"));
  EXPECT_EQ(read(map, 0x104, 2), 0x0504u);
  write(map, 0x107, 0xab, 1);
  EXPECT_EQ(device.last_offset, 7u);
  EXPECT_EQ(device.last, 0xabu);
  EXPECT_EQ(read(map, 0x108, 1), 0xffu);
  EXPECT_EQ(read(map, 0xff, 1), 0xffu);
}

TEST(AddressMap, AnAccessAcrossABorderIsSplit) {
  AddressMap map;
  Recorder low, high;
  high.base = 0x80;
  ASSERT_TRUE(map.add(0x100, 3, low, "low"));
  ASSERT_TRUE(map.add(0x103, 1, high, "high"));
  EXPECT_EQ(read(map, 0x100, 8), 0xffffffff'80020100u);
  EXPECT_EQ(low.sizes, (std::vector<std::size_t>{2, 1}));  // only powers of two
  EXPECT_EQ(read(map, 0xfe, 4), 0x0100ffffu);
}

TEST(AddressMap, WindowsMayTouchButNotOverlap) {
  AddressMap map;
  Recorder device;
  ASSERT_TRUE(map.add(0x100, 0x10, device, "first"));
  EXPECT_TRUE(map.add(0x110, 0x10, device, "after"));
  EXPECT_TRUE(map.add(0xf0, 0x10, device, "before"));
  EXPECT_FALSE(map.add(0x10f, 1, device, "inside"));
  EXPECT_FALSE(map.add(0x80, 0x1000, device, "around"));
  const auto taken = map.add(0x10f, 4, device, "late");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().blame, Blame::kUsage);
  EXPECT_NE(taken.error().message.find("after"), std::string::npos);
}

TEST(AddressMap, RefusesEmptyAndWrappingWindowsButTakesTheLastByte) {
  AddressMap map;
  Recorder device;
  EXPECT_FALSE(map.add(0x100, 0, device, "empty"));
  EXPECT_FALSE(map.add(~0ull, 2, device, "wrapping"));
  ASSERT_TRUE(map.add(~0ull, 1, device, "last"));
  EXPECT_EQ(read(map, ~0ull, 1), 0u);
  EXPECT_EQ(read(map, ~0ull - 1, 4), 0xffff00ffu);
}

TEST(AddressMap, ARemovedWindowIsGone) {
  AddressMap map;
  Recorder device;
  ASSERT_TRUE(map.add(0x100, 8, device, "device"));
  map.remove(0x100);
  EXPECT_EQ(read(map, 0x100, 1), 0xffu);
  EXPECT_TRUE(map.add(0x104, 8, device, "device"));
}

TEST(AddressMap, ADeviceMayMoveItsWindowWhileItIsCalled) {
  struct Mover final : BusDevice {
    explicit Mover(AddressMap& m) : map(m) {}
    void read(std::uint64_t, std::span<std::byte>) override {}
    void write(std::uint64_t, std::span<const std::byte>) override {
      map.remove(0x100);
      moved = map.add(0x200, 4, *this, "mover").has_value();
    }
    AddressMap& map;
    bool moved = false;
  };
  AddressMap map;
  Mover mover(map);
  ASSERT_TRUE(map.add(0x100, 4, mover, "mover"));
  write(map, 0x100, 0, 4);
  EXPECT_TRUE(mover.moved);
}

struct Level final : IrqLine {
  void set_level(bool value) override { high = value; }
  bool high = false;
};

TEST(SharedIrqLine, IsHighWhileAnyInputIs) {
  Level target;
  SharedIrqLine line(target);
  IrqLine& a = line.add_input();
  IrqLine& b = line.add_input();
  a.set_level(true);
  b.set_level(true);
  a.set_level(false);
  EXPECT_TRUE(target.high);
  b.set_level(false);
  EXPECT_FALSE(target.high);
}

}  // namespace
}  // namespace vireo::bus
