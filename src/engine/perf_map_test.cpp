#include "engine/perf_map.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

namespace vireo::engine {
namespace {

class PerfMapTest : public ::testing::Test {
 protected:
  PerfMapTest() {
    char name[] = "/tmp/vireo-perf-map-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ + "/map";
  }
  ~PerfMapTest() override {
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  std::string contents() const {
    std::ifstream stream(path_);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  std::string folder_, path_;
};

TEST_F(PerfMapTest, EachPieceOfCodeIsALine) {
  const auto map = PerfMap::create(path_).value();
  // SAFETY: addresses that are printed only.
  const auto* first = reinterpret_cast<const std::uint8_t*>(0x7f0000001000);
  map->code_made({first, 0x40}, 0xffffffff81000000);
  map->code_made({first + 0x40, 0x123}, 0x401000);
  EXPECT_EQ(contents(),
            "7f0000001000 40 guest:0xffffffff81000000\n7f0000001040 123 guest:0x401000\n");
}

TEST_F(PerfMapTest, WhatWasThereGoes) {
  std::ofstream(path_) << "of another process with our number\n";
  const auto map = PerfMap::create(path_).value();
  EXPECT_EQ(contents(), "");
}

TEST_F(PerfMapTest, ALinkIsReplacedNotFollowed) {
  const std::string target = folder_ + "/target";
  std::ofstream(target) << "mine";
  ASSERT_EQ(::symlink(target.c_str(), path_.c_str()), 0);
  const auto map = PerfMap::create(path_).value();
  std::ifstream stream(target);
  const std::string kept{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_EQ(kept, "mine");
  ::unlink(target.c_str());
}

TEST_F(PerfMapTest, AFolderThatIsNotThereIsAnError) {
  const auto map = PerfMap::create(folder_ + "/nowhere/map");
  ASSERT_FALSE(map.has_value());
  EXPECT_NE(map.error().message.find("cannot be made"), std::string::npos);
}

TEST(PerfMap, PerfLooksForTheNumberOfTheProcess) {
  EXPECT_EQ(PerfMap::default_path(), "/tmp/perf-" + std::to_string(::getpid()) + ".map");
}

}  // namespace
}  // namespace vireo::engine
