#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/limits.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>

#include "backends/share/share_world.h"

namespace vireo::backends {
namespace {

using ninep::Kind;
using namespace std::string_literals;

struct ExtendedAttributesTest : ::testing::Test {
  void SetUp() override {
    folder.write("file", "text");
    if (::setxattr(path().c_str(), "user.host", "here", 4, 0) != 0)
      GTEST_SKIP() << "no extended attributes where temporary files are";
    ASSERT_EQ(client.walk(0, 1, {"file"}).error, 0);
  }
  std::string path() const { return folder.shared("file"); }
  std::string on_host(const std::string& name) const {
    std::array<char, 100> value{};
    const ssize_t size = ::getxattr(path().c_str(), name.c_str(), value.data(), value.size());
    return size < 0 ? "error " + std::to_string(errno)
                    : std::string(value.data(), static_cast<std::size_t>(size));
  }
  /// As clients do: a fid for the attribute, its bytes, and no more of the fid.
  std::string get(const std::string& name) {
    const auto found = client.call(ClientMessage(Kind::kFindExtended)(1u)(9u)(name));
    if (found.error != 0) return "error " + std::to_string(found.error);
    const auto size = found.reader().take<std::uint64_t>();
    const std::string value = client.read(9, 0, 60000);
    EXPECT_EQ(value.size(), size);
    EXPECT_EQ(client.clunk(9), 0);
    return value;
  }
  int begin(const std::string& name, std::uint64_t size, std::uint32_t flags = 0) {
    EXPECT_EQ(client.walk(1, 8, {}).error, 0);
    const int error = client.call(ClientMessage(Kind::kMakeExtended)(8u)(name)(size)(flags)).error;
    if (error != 0) client.clunk(8);
    return error;
  }
  int set(const std::string& name, const std::string& value, std::uint32_t flags = 0) {
    if (const int error = begin(name, value.size(), flags)) return error;
    if (!value.empty()) EXPECT_EQ(client.write(8, 0, value).error, 0);
    return client.clunk(8);
  }
  ShareFolder folder;
  ShareClient client{folder.open()};
};

TEST_F(ExtendedAttributesTest, AreReadAndListed) {
  EXPECT_EQ(get("user.host"), "here");
  EXPECT_EQ(get(""), "user.host\0"s);
  EXPECT_EQ(get("user.other"), "error " + std::to_string(ENODATA));
  EXPECT_EQ(client.call(ClientMessage(Kind::kFindExtended)(1u)(9u)("user.host")).error, 0);
  EXPECT_EQ(client.read(9, 1, 2), "er");
  EXPECT_EQ(client.read(9, 4, 2), "");
  EXPECT_EQ(client.read(9, ~std::uint64_t{0}, 2), "");
  EXPECT_EQ(client.write(9, 0, "x").error, EINVAL) << "one that is read";
  EXPECT_EQ(client.open(9, O_RDONLY).error, EBUSY);
}

TEST_F(ExtendedAttributesTest, AreSetWhenAllOfThemIsWritten) {
  EXPECT_EQ(set("user.guest", "there"), 0);
  EXPECT_EQ(on_host("user.guest"), "there");
  EXPECT_EQ(set("user.guest", ""), 0);
  EXPECT_EQ(on_host("user.guest"), "");
  ASSERT_EQ(begin("user.guest", 6), 0);
  EXPECT_EQ(client.write(8, 0, "abc").error, 0);
  EXPECT_EQ(client.write(8, 0, "abc").error, EINVAL) << "not in order";
  EXPECT_EQ(client.write(8, 3, "defg").error, EINVAL) << "more than was said";
  EXPECT_EQ(client.write(8, 3, "def").error, 0);
  EXPECT_EQ(on_host("user.guest"), "");
  EXPECT_EQ(client.clunk(8), 0);
  EXPECT_EQ(on_host("user.guest"), "abcdef");
  ASSERT_EQ(begin("user.guest", 6), 0);
  EXPECT_EQ(client.clunk(8), EINVAL) << "nothing was written";
  EXPECT_EQ(on_host("user.guest"), "abcdef");
}

TEST_F(ExtendedAttributesTest, MayHaveToBeNewOrNot) {
  EXPECT_EQ(set("user.host", "x", ninep::kMustBeNew), EEXIST);
  EXPECT_EQ(set("user.new", "x", ninep::kMustExist), ENODATA);
  EXPECT_EQ(set("user.host", "y", ninep::kMustExist), 0);
  EXPECT_EQ(on_host("user.host"), "y");
  EXPECT_EQ(set("user.host", "", ninep::kMustExist), 0) << "taken away";
  EXPECT_EQ(on_host("user.host"), "error " + std::to_string(ENODATA));
  EXPECT_EQ(begin("user.host", 1, 4), EINVAL);
}

TEST_F(ExtendedAttributesTest, OthersThanThoseOfUsersAreTheHosts) {
  for (const char* name : {"security.capability", "trusted.x", "system.x", "user", ""}) {
    EXPECT_EQ(begin(name, 1), EOPNOTSUPP) << name;
  }
  for (const char* name : {"security.capability", "trusted.x"})
    EXPECT_EQ(get(name), "error " + std::to_string(ENODATA)) << name;
  if (::setxattr(path().c_str(), "trusted.host", "x", 1, 0) == 0)
    EXPECT_EQ(get(""), "user.host\0"s);
}

TEST_F(ExtendedAttributesTest, OfLinksThereAreNone) {
  std::filesystem::create_symlink("../secret", folder.shared("out"));
  ASSERT_EQ(client.walk(0, 2, {"out"}).error, 0);
  EXPECT_EQ(client.call(ClientMessage(Kind::kFindExtended)(2u)(9u)("")).error, EOPNOTSUPP);
  ASSERT_EQ(
      client.call(ClientMessage(Kind::kMakeExtended)(2u)("user.x")(std::uint64_t{1})(0u)).error, 0);
  EXPECT_EQ(client.write(2, 0, "x").error, 0);
  EXPECT_EQ(client.clunk(2), EOPNOTSUPP);
  EXPECT_LT(::getxattr((folder.path + "/secret").c_str(), "user.x", nullptr, 0), 0);
}

TEST_F(ExtendedAttributesTest, AShareThatIsOnlyReadKeepsItsOwn) {
  ShareClient reader{folder.open(true)};
  ASSERT_EQ(reader.walk(0, 1, {"file"}).error, 0);
  EXPECT_EQ(
      reader.call(ClientMessage(Kind::kMakeExtended)(1u)("user.x")(std::uint64_t{1})(0u)).error,
      EROFS);
  EXPECT_EQ(reader.call(ClientMessage(Kind::kFindExtended)(1u)(2u)("user.host")).error, 0);
}

TEST_F(ExtendedAttributesTest, OneClientHasOnlySoManyAtATime) {
  EXPECT_EQ(begin("user.x", XATTR_SIZE_MAX + 1), E2BIG);
  EXPECT_EQ(begin("user." + std::string(300, 'x'), 1), ERANGE);
  EXPECT_EQ(begin("user.x\0y"s, 1), EINVAL);
  const auto find = [&](std::uint32_t fid) {
    return client.call(ClientMessage(Kind::kFindExtended)(1u)(fid)("user.host")).error;
  };
  for (std::uint32_t i = 0; i < FileServer::kMostExtended; ++i) ASSERT_EQ(find(100 + i), 0);
  EXPECT_EQ(find(99), ENFILE);
  EXPECT_EQ(begin("user.x", 1), ENFILE);
  EXPECT_EQ(client.clunk(100), 0);
  EXPECT_EQ(find(100), 0);
  client.server.reset();
  EXPECT_EQ(client.server.fids(), 0u);
  EXPECT_EQ(client.attach(0).error, 0);
  EXPECT_EQ(client.walk(0, 1, {"file"}).error, 0);
  EXPECT_EQ(get("user.host"), "here");
}

}  // namespace
}  // namespace vireo::backends
