#include "machine/boot/bios_environment.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "machine/boot/test_images.h"

namespace vireo::machine {
namespace {

class BiosEnvironment : public ::testing::Test {
 protected:
  BiosEnvironment() {
    host.memory->write_value(PhysAddr{kBiosTicks}, ~std::uint32_t{0});
    put_bios_environment(*host.memory, [this](std::uint16_t port, std::uint8_t value) {
      writes.emplace_back(port, value);
    });
  }
  std::uint64_t handler(unsigned vector) {
    const auto offset = host.at<std::uint16_t>(vector * 4);
    const auto segment = host.at<std::uint16_t>(vector * 4 + 2);
    return (std::uint64_t{segment} << 4) + offset;
  }
  std::vector<std::uint8_t> code(unsigned vector, std::size_t size) {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < size; ++i)
      bytes.push_back(host.at<std::uint8_t>(handler(vector) + i));
    return bytes;
  }
  /// What was written to a port, in order.
  std::vector<unsigned> written(std::uint16_t port) {
    std::vector<unsigned> values;
    for (const auto& [where, value] : writes)
      if (where == port) values.push_back(value);
    return values;
  }

  test::Host host;
  std::vector<std::pair<std::uint16_t, std::uint8_t>> writes;
};

TEST_F(BiosEnvironment, EveryVectorLeadsToCodeInTheBiosSegment) {
  for (unsigned vector = 0; vector < 256; ++vector) {
    EXPECT_GE(handler(vector), 0xf0000u) << vector;
    EXPECT_LT(handler(vector), 0x100000u) << vector;
    EXPECT_NE(host.at<std::uint8_t>(handler(vector)), 0) << vector;
  }
  for (const unsigned vector : {0x00u, 0x07u, 0x10u, 0x1cu, 0x6fu, 0x78u, 0xffu})
    EXPECT_EQ(code(vector, 1), (std::vector<std::uint8_t>{0xcf})) << vector;
}

TEST_F(BiosEnvironment, HardwareInterruptsAreAcknowledgedWhereTheyCameFrom) {
  using Code = std::vector<std::uint8_t>;
  for (unsigned vector = 0x09; vector < 0x10; ++vector)
    EXPECT_EQ(code(vector, 7), (Code{0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf})) << vector;
  for (unsigned vector = 0x70; vector < 0x78; ++vector)
    EXPECT_EQ(code(vector, 9), (Code{0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf}))
        << vector;
}

TEST_F(BiosEnvironment, TheTimerTicksFromZero) {
  EXPECT_EQ(host.at<std::uint32_t>(kBiosTicks), 0u);
  EXPECT_EQ(written(0x43), (std::vector<unsigned>{0x36}));
  EXPECT_EQ(written(0x40), (std::vector<unsigned>{0, 0}));
  EXPECT_EQ(writes.back().first, 0x40) << "no tick comes before the controllers are ready";
}

TEST_F(BiosEnvironment, TheControllersAreInitializedInTheOrderOfTheirWords) {
  EXPECT_EQ(written(0x20), (std::vector<unsigned>{0x11}));
  EXPECT_EQ(written(0x21), (std::vector<unsigned>{0x08, 0x04, 0x01, 0xfa}));
  EXPECT_EQ(written(0xa0), (std::vector<unsigned>{0x11}));
  EXPECT_EQ(written(0xa1), (std::vector<unsigned>{0x70, 0x02, 0x01, 0xff}));
}

}  // namespace
}  // namespace vireo::machine
