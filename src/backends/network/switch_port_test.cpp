#include "backends/network/switch_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "backends/network/mac_table.h"
#include "backends/network/recording_reader_fake.h"

namespace vireo::backends {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr MacAddress kAll{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr milliseconds kShort{50};

struct SwitchTest : ::testing::Test {
  struct Member {
    RecordingReader reader;
    MacAddress mac;
    std::unique_ptr<NetworkBackend> port;
    void say(const MacAddress& to, const std::string& text) {
      EXPECT_TRUE(port->send({}, text_frame(to, mac, text)));
    }
  };

  SwitchTest() {
    std::string pattern = ::testing::TempDir() + "vireo-switch-XXXXXX";
    base = ::mkdtemp(pattern.data());
    folder = base + "/switches";
  }
  ~SwitchTest() override { std::filesystem::remove_all(base); }

  std::unique_ptr<Member> join(const std::string& name = "lab") {
    auto member = std::make_unique<Member>();
    member->mac = {2, 0, 0, 0, 0, ++members};
    auto port = open_switch_port(std::move(*SwitchFolder::open_at(folder)), name);
    EXPECT_TRUE(port) << (port ? "" : port.error().message);
    member->port = std::move(*port);
    member->port->start(member->reader);
    return member;
  }
  /// Until one hears the other: whoever joins is let in a moment later.
  static void meet(Member& one, Member& other) {
    for (unsigned i = 0; i < 200; ++i) {
      one.say(kAll, "meet");
      if (text_of(other.reader.take(kShort).second) == "meet") break;
    }
    one.say(kAll, "met");
    while (text_of(other.reader.take().second) == "meet") {
    }
  }
  static std::string heard(Member& member) { return text_of(member.reader.take(kShort).second); }
  /// What comes next but for what meetings have left, however late that is.
  static std::string told(Member& member) {
    for (;;) {
      std::string text = text_of(member.reader.take().second);
      if (text != "meet" && text != "met") return text;
    }
  }

  std::string base, folder;
  std::uint8_t members = 0;
};

TEST_F(SwitchTest, FramesGoToAllUntilTheirReceiverIsKnown) {
  const auto a = join(), b = join(), c = join();
  meet(*a, *b), meet(*a, *c), meet(*b, *c), meet(*b, *a);
  while (!heard(*c).empty() || !heard(*b).empty() || !heard(*a).empty()) {
  }
  a->say({2, 0, 0, 0, 0, 99}, "who");
  EXPECT_EQ(told(*b), "who");
  EXPECT_EQ(told(*c), "who");
  a->say(b->mac, "you");
  EXPECT_EQ(told(*b), "you");
  EXPECT_EQ(heard(*c), "") << "b's address was learned";
  EXPECT_EQ(heard(*a), "") << "nobody hears himself";
}

TEST_F(SwitchTest, AnotherTakesOverWhenTheHolderEnds) {
  auto holder = join();
  const auto b = join(), c = join();
  meet(*holder, *b), meet(*b, *c);
  for (unsigned i = 0; i < 3; ++i) {
    holder = nullptr;
    meet(*b, *c), meet(*c, *b);
    holder = join();
    meet(*holder, *c);
  }
}

TEST_F(SwitchTest, SwitchesOfDifferentNamesAreDifferent) {
  const auto a = join("one"), b = join("two"), c = join("one");
  meet(*a, *c);
  EXPECT_EQ(heard(*b), "");
}

TEST_F(SwitchTest, APortThatDoesNotReadHoldsNobodyUp) {
  const auto a = join(), b = join(), deaf = join();
  meet(*a, *b), meet(*a, *deaf), meet(*b, *a);
  deaf->reader.set_full(true);
  const std::string text(60000, 'x');
  for (unsigned i = 0; i < 120; ++i) {
    while (!a->port->send({}, text_frame(kAll, a->mac, text))) std::this_thread::yield();
    if (i % 20 == 19) {
      while (!heard(*b).empty()) {
      }
    }
  }
  while (!heard(*b).empty()) {
  }
  a->say(b->mac, "still here");
  std::string last;
  do last = told(*b);
  while (last == text);
  EXPECT_EQ(last, "still here");
}

TEST_F(SwitchTest, AnythingButANameIsRefused) {
  for (const char* name : {"", ".", "..", "a/b", "a b", "\n", "$x"}) {
    const auto port = open_switch_port(std::move(*SwitchFolder::open_at(folder)), name);
    ASSERT_FALSE(port) << name;
    EXPECT_EQ(port.error().blame, Blame::kUsage);
  }
  EXPECT_FALSE(open_switch_port(std::move(*SwitchFolder::open_at(folder)), std::string(65, 'a')));
}

TEST_F(SwitchTest, AFolderThatOthersMayUseIsRefused) {
  ASSERT_TRUE(SwitchFolder::open_at(folder));
  struct stat status = {};
  ASSERT_EQ(::stat(folder.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  ASSERT_EQ(::chmod(folder.c_str(), 0750), 0);
  const auto open = SwitchFolder::open_at(folder);
  ASSERT_FALSE(open);
  EXPECT_THAT(open.error().message, HasSubstr("0700"));
  std::filesystem::create_directory_symlink(base, base + "/link");
  EXPECT_FALSE(SwitchFolder::open_at(base + "/link"));
}

TEST(MacTable, KnowsWhereAnAddressWasSeenLast) {
  MacTable table;
  table.learn(1, 10, 0);
  table.learn(2, 20, 0);
  EXPECT_EQ(table.find(1, 1), 10u);
  table.learn(1, 20, 2);
  EXPECT_EQ(table.find(1, 3), 20u);
  EXPECT_EQ(table.find(3, 3), std::nullopt);
  table.forget_port(20);
  EXPECT_EQ(table.find(1, 3), std::nullopt);
  EXPECT_EQ(table.find(2, 3), std::nullopt);
}

TEST(MacTable, ForgetsWhatIsOldAndNeverLearnsGroups) {
  MacTable table;
  table.learn(1, 10, 0);
  EXPECT_EQ(table.find(1, MacTable::kLifetimeMs), 10u);
  EXPECT_EQ(table.find(1, MacTable::kLifetimeMs + 1), std::nullopt);
  table.learn(0x010000000000, 10, 0);
  EXPECT_EQ(table.find(0x010000000000, 0), std::nullopt);
}

TEST(MacTable, HasAnEnd) {
  MacTable table;
  for (std::uint64_t i = 0; i < MacTable::kMostAddresses; ++i) table.learn(i, 1, 0);
  table.learn(999'999, 2, 1);
  EXPECT_EQ(table.find(999'999, 1), std::nullopt);
  EXPECT_EQ(table.find(5, 1), 1u);
  table.learn(5, 2, 1);
  EXPECT_EQ(table.find(5, 1), 2u) << "what is known may move";
  table.learn(999'999, 2, MacTable::kLifetimeMs + 2);
  EXPECT_EQ(table.find(999'999, MacTable::kLifetimeMs + 2), 2u) << "the old ones made room";
}

}  // namespace
}  // namespace vireo::backends
