#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "backends/display/keysyms.h"
#include "backends/display/png_image.h"
#include "backends/display/vnc_server.h"
#include "backends/display/whole_file.h"

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

struct DisplayFileTest : ::testing::Test {
  DisplayFileTest() { path = std::string(::mkdtemp(folder)) + "/file"; }
  ~DisplayFileTest() override {
    ::unlink(path.c_str());
    EXPECT_EQ(::rmdir(folder), 0) << "something is left behind";
  }
  std::string content() const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  char folder[32] = "/tmp/vireo-display-XXXXXX";
  std::string path;
};

TEST_F(DisplayFileTest, AFileIsReplacedAsAWhole) {
  std::ofstream(path) << "old and longer";
  struct stat before {
  }, after{};
  ::stat(path.c_str(), &before);
  ASSERT_TRUE(write_whole_file(path, std::as_bytes(std::span("new", 3))));
  ::stat(path.c_str(), &after);
  EXPECT_EQ(content(), "new");
  EXPECT_NE(before.st_ino, after.st_ino);
}

TEST_F(DisplayFileTest, WhatCannotBeWrittenIsNamed) {
  const auto written = write_whole_file("/nowhere/file", {});
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("/nowhere/file"));
  EXPECT_TRUE(write_whole_file("/dev/null", {}));
}

TEST_F(DisplayFileTest, APictureIsReadBackAsItWas) {
  const std::vector<std::uint8_t> rgb{1, 2, 3, 4, 5, 6, 7, 8, 9, 250, 251, 252};
  ASSERT_TRUE(write_png(path, 2, 2, rgb));
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_file(&image, path.c_str()), 0);
  image.format = PNG_FORMAT_RGB;
  std::vector<std::uint8_t> read(PNG_IMAGE_SIZE(image));
  ASSERT_NE(png_image_finish_read(&image, nullptr, read.data(), 0, nullptr), 0);
  EXPECT_EQ(image.width, 2u);
  EXPECT_EQ(read, rgb);
}

TEST(Keysyms, KeysAreThoseOfAnAmericanKeyboard) {
  const std::pair<std::uint32_t, std::uint16_t> keys[] = {
      {'a', 0x1e},    {'A', 0x1e},      {'1', 0x02},     {'!', 0x02},    {'=', 0x0d},
      {'m', 0x32},    {'?', 0x35},      {' ', 0x39},     {'\\', 0x2b},   {'~', 0x29},
      {0xff0d, 0x1c}, {0xff54, 0xe050}, {0xffc7, 0x44},  {0xffc9, 0x58}, {0xffb5, 0x4c},
      {0xffe3, 0x1d}, {0xffe4, 0xe01d}, {0xffff, 0xe053}};
  for (const auto& [keysym, code] : keys) EXPECT_EQ(key_of_keysym(keysym), code) << keysym;
  for (const std::uint32_t none : {0u, 0x7fu, 0xe4u, 0x1000041u, 0xffffffffu})
    EXPECT_EQ(key_of_keysym(none), std::nullopt) << none;
}

TEST(VncServer, AddressesThatMakeNoSenseAreMistakes) {
  for (const char* address :
       {"", "port", "0", "70000", "1:2:3", "nowhere:5900", "5900x", "1.2.3:4"}) {
    const auto server = VncServer::create(address, {});
    ASSERT_FALSE(server) << address;
    EXPECT_EQ(server.error().blame, Blame::kUsage);
  }
}

}  // namespace
}  // namespace vireo::backends
