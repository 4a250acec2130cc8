#include "backends/network/pcap_file.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace vireo::backends {
namespace {

struct PcapFileTest : ::testing::Test {
  PcapFileTest() {
    std::string pattern = ::testing::TempDir() + "vireo-pcap-XXXXXX";
    folder = ::mkdtemp(pattern.data());
    path = folder + "/frames";
  }
  ~PcapFileTest() override { std::filesystem::remove_all(folder); }
  std::string folder, path;
};

TEST_F(PcapFileTest, HoldsFramesInOrderWithTheirTimes) {
  auto file = PcapFile::create(path);
  ASSERT_TRUE(file);
  const std::vector<std::byte> first(14, std::byte{1}), second(65000, std::byte{2});
  file->write(first);
  file->write(second);
  std::ifstream stream(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(stream), {}};
  ASSERT_EQ(bytes.size(), 24u + 16 + 14 + 16 + 65000);
  const auto word = [&](std::size_t at) {
    std::uint32_t result;
    std::memcpy(&result, &bytes[at], 4);
    return result;
  };
  EXPECT_EQ(word(0), 0xa1b23c4du);
  EXPECT_EQ(word(4), 4u << 16 | 2) << "version 2.4";
  EXPECT_GE(word(16), 65553u) << "the longest frame";
  EXPECT_EQ(word(20), 1u) << "Ethernet";
  EXPECT_NEAR(word(24), static_cast<double>(std::time(nullptr)), 60);
  EXPECT_LT(word(28), 1'000'000'000u);
  EXPECT_EQ(word(32), 14u);
  EXPECT_EQ(word(36), 14u);
  EXPECT_EQ(bytes[40], 1);
  EXPECT_EQ(word(24 + 16 + 14 + 8), 65000u);
  EXPECT_EQ(bytes.back(), 2);
}

TEST_F(PcapFileTest, AFileThatCannotBeWrittenIsAHostError) {
  const auto file = PcapFile::create(folder);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().blame, Blame::kHost);
  EXPECT_NE(file.error().message.find(folder), std::string::npos);
}

}  // namespace
}  // namespace vireo::backends
