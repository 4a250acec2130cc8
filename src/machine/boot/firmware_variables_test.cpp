#include "machine/boot/firmware_variables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "machine/boot/firmware_image.h"

namespace vireo::machine {
namespace {

using ::testing::HasSubstr;

struct FirmwareVariablesTest : ::testing::Test {
  FirmwareVariablesTest() { EXPECT_NE(::mkdtemp(folder), nullptr); }
  ~FirmwareVariablesTest() override { std::filesystem::remove_all(folder); }
  void put(const std::string& content) { std::ofstream(path(), std::ios::binary) << content; }
  std::string path() const { return std::string(folder) + "/variables.fd"; }
  std::string content() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string refusal(const std::string& firmware) const {
    const auto opened = FirmwareVariables::open(path(), firmware);
    EXPECT_FALSE(opened);
    return opened ? "" : opened.error().message;
  }
  char folder[40] = "/tmp/vireo-variables-XXXXXX";
};

TEST_F(FirmwareVariablesTest, WhatIsKeptIsInTheFile) {
  put(std::string(8192, 'v'));
  const auto variables = FirmwareVariables::open(path(), "any.fd");
  ASSERT_TRUE(variables) << variables.error().message;
  EXPECT_EQ((*variables)->content(), std::vector<std::byte>(8192, std::byte{'v'}));
  const std::array<std::byte, 2> bytes{std::byte{'a'}, std::byte{'b'}};
  EXPECT_FALSE((*variables)->keep(8190, bytes));
  EXPECT_EQ(content(), std::string(8190, 'v') + "ab");
}

TEST_F(FirmwareVariablesTest, TwoMachinesDoNotShareThem) {
  put(std::string(4096, 'v'));
  const auto first = FirmwareVariables::open(path(), "any.fd");
  ASSERT_TRUE(first);
  EXPECT_THAT(refusal("any.fd"), HasSubstr("variables.fd"));
}

TEST_F(FirmwareVariablesTest, WhatCannotBeVariablesIsRefused) {
  EXPECT_THAT(refusal("any.fd"), HasSubstr("--firmware ovmf"));
  EXPECT_THAT(refusal("seabios"), HasSubstr("--firmware ovmf"));
  EXPECT_FALSE(std::filesystem::exists(path()));
  for (const std::size_t size : {std::size_t{0}, std::size_t{4097}, std::size_t{2} << 20}) {
    put(std::string(size, 'v'));
    EXPECT_THAT(refusal("any.fd"), HasSubstr(std::to_string(size) + " bytes"));
  }
}

TEST_F(FirmwareVariablesTest, OfThePackageOvmfTheyAreMadeTheFirstTime) {
  const auto from = variables_of_package("ovmf");
  if (!from) GTEST_SKIP() << from.error().message;
  ASSERT_TRUE(FirmwareVariables::open(path(), "ovmf"));
  EXPECT_EQ(std::filesystem::file_size(path()), std::filesystem::file_size(*from));
  put(std::string(4096, 'v'));
  ASSERT_TRUE(FirmwareVariables::open(path(), "ovmf"));
  EXPECT_EQ(content(), std::string(4096, 'v')) << "what is there stays";
}

TEST(VariablesBase, IsInFrontOfTheFirmware) {
  const FirmwareImage image{"any.fd", std::vector<std::byte>(0x37c000)};
  EXPECT_EQ(variables_base(image, 0x84000), PhysAddr{0xffc0'0000});
}

}  // namespace
}  // namespace vireo::machine
