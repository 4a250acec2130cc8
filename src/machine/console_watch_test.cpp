#include "machine/console_watch.h"

#include <gtest/gtest.h>

#include <string_view>

namespace vireo::machine {
namespace {

struct ConsoleWatchTest : ::testing::Test {
  void write(std::string_view text) {
    for (const char c : text) {  // as a UART does
      const auto byte = static_cast<std::uint8_t>(c);
      watch.write({&byte, 1});
    }
  }
  int gave_up = 0;
  ConsoleWatch watch{[this] { ++gave_up; }};
};

TEST_F(ConsoleWatchTest, KeepsTheLastLinesWithoutControlCharacters) {
  for (int i = 0; i < 30; ++i) write("line " + std::to_string(i) + "\r\n");
  write("login: \x1b[0m");
  const auto lines = watch.last_lines();
  ASSERT_EQ(lines.size(), ConsoleWatch::kLines + 1);
  EXPECT_EQ(lines.front(), "line 10");
  EXPECT_EQ(lines.back(), "login: [0m");
}

TEST_F(ConsoleWatchTest, ALineWithoutEndDoesNotGrowForever) {
  write(std::string(100000, 'x'));
  EXPECT_EQ(watch.last_lines().back().size(), ConsoleWatch::kLongestLine);
  EXPECT_EQ(watch.bytes(), 100000u);
}

TEST_F(ConsoleWatchTest, APanicCountsWhenItsLineIsComplete) {
  write("[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs");
  EXPECT_FALSE(watch.panicked());
  write(" on unknown-block(0,0)\r\n");
  EXPECT_EQ(watch.panic(),
            "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)");
  EXPECT_EQ(gave_up, 0);
  write("[    1.6] ---[ end Kernel panic - not syncing: VFS ]---");
  EXPECT_EQ(gave_up, 0);
  write("\r\n");
  EXPECT_EQ(gave_up, 1);
  EXPECT_NE(watch.panic().find("Unable to mount"), std::string::npos) << "the first line stays";
  watch.forget_panic();
  EXPECT_FALSE(watch.panicked());
}

}  // namespace
}  // namespace vireo::machine
