#include "devices/firmware/smbios_tables.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <span>
#include <string>

namespace vireo::devices {
namespace {

constexpr std::uint64_t kGigabyte = 1ull << 30;

struct Structure {
  std::vector<std::uint8_t> formatted;
  std::vector<std::string> strings;
};
/// As a kernel reads them.
std::vector<Structure> parse(std::span<const std::uint8_t> bytes) {
  std::vector<Structure> result;
  while (!bytes.empty()) {
    Structure structure;
    structure.formatted.assign(bytes.begin(), bytes.begin() + bytes[1]);
    bytes = bytes.subspan(bytes[1]);
    while (bytes[0] != 0) {
      structure.strings.emplace_back(reinterpret_cast<const char*>(bytes.data()));
      bytes = bytes.subspan(structure.strings.back().size() + 1);
    }
    bytes = bytes.subspan(structure.strings.empty() ? 2 : 1);
    result.push_back(std::move(structure));
  }
  return result;
}
unsigned sum(std::span<const std::uint8_t> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), 0u) % 256;
}

TEST(SmbiosTables, TheAnchorDescribesTheStructures) {
  const auto tables = build_smbios_tables(
      {.cpus = 2, .memory_bytes = 4 * kGigabyte, .memory_below_4g = 3 * kGigabyte},
      PhysAddr{0xf0020});
  ASSERT_EQ(tables.anchor.size(), 0x1fu);
  EXPECT_EQ(sum(tables.anchor), 0u);
  EXPECT_EQ(sum(std::span(tables.anchor).subspan(0x10)), 0u);
  EXPECT_EQ(tables.anchor[0x16] | tables.anchor[0x17] << 8,
            static_cast<int>(tables.structures.size()));
  EXPECT_EQ(tables.anchor[0x18], 0x20);
  EXPECT_EQ(tables.anchor[0x1a], 0x0f);
  const auto structures = parse(tables.structures);
  EXPECT_EQ(tables.anchor[0x1c], structures.size());
}

TEST(SmbiosTables, EveryStructureHasItsLengthAndItsStringsExist) {
  const auto tables = build_smbios_tables(
      {.cpus = 2, .memory_bytes = 4 * kGigabyte, .memory_below_4g = 3 * kGigabyte},
      PhysAddr{0xf0020});
  // DSP0134 2.8: length of each type.
  const std::map<unsigned, std::size_t> lengths{{0, 0x18},  {1, 0x1b},  {3, 0x16},
                                                {4, 0x2a},  {16, 0x17}, {17, 0x28},
                                                {19, 0x1f}, {32, 0x0b}, {127, 0x04}};
  std::map<unsigned, int> seen;
  for (const auto& structure : parse(tables.structures)) {
    const unsigned type = structure.formatted[0];
    ++seen[type];
    EXPECT_EQ(structure.formatted.size(), lengths.at(type)) << type;
    for (const auto& text : structure.strings) EXPECT_FALSE(text.empty());
    if (type == 1) {
      EXPECT_EQ(structure.strings.at(structure.formatted[4] - 1), "Vireo");
      EXPECT_EQ(structure.strings.at(structure.formatted[5] - 1), "Vireo PC");
    }
  }
  EXPECT_EQ(seen[4], 2);
  EXPECT_EQ(seen[19], 2) << "memory below and above 4 GiB";
  EXPECT_EQ(seen.size(), lengths.size());
}

TEST(SmbiosTables, MuchMemoryIsToldInTheExtendedFields) {
  const auto tables = build_smbios_tables(
      {.memory_bytes = 64 * kGigabyte, .memory_below_4g = 3 * kGigabyte}, PhysAddr{0xf0020});
  for (const auto& structure : parse(tables.structures)) {
    if (structure.formatted[0] != 17) continue;
    EXPECT_EQ(structure.formatted[0x0c] | structure.formatted[0x0d] << 8, 0x7fff);
    EXPECT_EQ(structure.formatted[0x1c] | structure.formatted[0x1d] << 8, 0);
    EXPECT_EQ(structure.formatted[0x1e], 1) << "65536 MiB";
  }
}

}  // namespace
}  // namespace vireo::devices
