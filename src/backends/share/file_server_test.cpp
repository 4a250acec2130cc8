#include "backends/share/file_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <thread>

#include "backends/share/share_world.h"

namespace vireo::backends {
namespace {

using ninep::Kind;

struct FileServerTest : ::testing::Test {
  ShareFolder folder;
  ShareClient client{folder.open()};
};

TEST_F(FileServerTest, AFileIsMadeWrittenAndRead) {
  ASSERT_EQ(client.walk(0, 1, {}).error, 0);
  ASSERT_EQ(client.create(1, "file", O_RDWR).error, 0);
  EXPECT_EQ(client.write(1, 0, "hello").reader().take<std::uint32_t>(), 5u);
  EXPECT_EQ(client.write(1, 3, "p!").reader().take<std::uint32_t>(), 2u);
  EXPECT_EQ(client.read(1, 1, 100), "elp!");
  EXPECT_EQ(client.read(1, 5, 100), "");
  EXPECT_EQ(client.call(ClientMessage(Kind::kSync)(1u)(0u)).error, 0);
  EXPECT_EQ(folder.read("file"), "help!");
}

TEST_F(FileServerTest, NamesAreWalkedAsFarAsTheyGo) {
  std::filesystem::create_directories(folder.shared("a/b"));
  folder.write("a/b/c", "deep");
  auto all = client.walk(0, 1, {"a", "b", "c"});
  EXPECT_EQ(all.reader().take<std::uint16_t>(), 3);
  ASSERT_EQ(client.open(1, O_RDONLY).error, 0);
  EXPECT_EQ(client.read(1, 0, 10), "deep");
  const auto part = client.walk(0, 2, {"a", "x", "c"});
  EXPECT_EQ(part.error, 0);
  EXPECT_EQ(part.reader().take<std::uint16_t>(), 1);
  EXPECT_EQ(part.body.size(), 2u + 13u);
  EXPECT_EQ(client.clunk(2), EBADF) << "a fid for a part does not exist";
  EXPECT_EQ(client.walk(0, 2, {"x"}).error, ENOENT);
  EXPECT_EQ(client.walk(1, 2, {"d"}).error, ENOTDIR);
}

TEST_F(FileServerTest, NoNameLeadsOutOfTheFolder) {
  std::filesystem::create_directory(folder.shared("d"));
  using namespace std::string_literals;
  for (const std::string& name :
       {".."s, "."s, ""s, "../secret"s, "/etc"s, "d/.."s, "d\0x"s, std::string(256, 'n')}) {
    EXPECT_NE(client.walk(0, 1, {name}).error, 0) << name;
    ASSERT_EQ(client.walk(0, 2, {}).error, 0);
    EXPECT_NE(client.create(2, name, O_RDWR).error, 0) << name;
    EXPECT_NE(client.call(ClientMessage(Kind::kMakeFolder)(2u)(name)(0755u)(0u)).error, 0);
    EXPECT_NE(client.call(ClientMessage(Kind::kSymlink)(2u)(name)("x")(0u)).error, 0);
    EXPECT_NE(client.call(ClientMessage(Kind::kLink)(2u)(0u)(name)).error, 0);
    EXPECT_NE(client.call(ClientMessage(Kind::kUnlinkAt)(2u)(name)(0u)).error, 0);
    EXPECT_NE(client.call(ClientMessage(Kind::kUnlinkAt)(2u)(name)(0x200u)).error, 0);
    EXPECT_NE(client.call(ClientMessage(Kind::kRenameAt)(2u)("d")(2u)(name)).error, 0);
    EXPECT_NE(client.call(ClientMessage(Kind::kRenameAt)(2u)(name)(2u)("e")).error, 0);
    EXPECT_NE(client.call(ClientMessage(Kind::kMakeNode)(2u)(name)(0100644u)(0u)(0u)(0u)).error, 0);
    EXPECT_EQ(client.clunk(2), 0);
  }
  EXPECT_EQ(client.walk(0, 1, {".."}).error, EINVAL);
  const auto first = client.walk(0, 1, {"d", ".."});
  EXPECT_EQ(first.reader().take<std::uint16_t>(), 1) << "no way up, not even inside";
  EXPECT_EQ(folder.read("../secret"), "secret");
  EXPECT_FALSE(std::filesystem::exists(folder.path + "/e"));
}

TEST_F(FileServerTest, LinksAreNeverFollowed) {
  std::filesystem::create_symlink("..", folder.shared("up"));
  std::filesystem::create_symlink("../secret", folder.shared("out"));
  EXPECT_EQ(client.walk(0, 1, {"up", "secret"}).reader().take<std::uint16_t>(), 1);
  ASSERT_EQ(client.walk(0, 1, {"out"}).error, 0);
  EXPECT_EQ(client.open(1, O_RDONLY).error, ELOOP);
  EXPECT_EQ(client.create(1, "x", O_RDWR).error, ENOTDIR);
  ClientMessage chmod(Kind::kSetAttributes);
  chmod(1u)(ninep::kSetMode)(0777u)(0u)(0u);
  for (int i = 0; i < 5; ++i) chmod(std::uint64_t{0});
  EXPECT_NE(client.call(chmod).error, 0);
  auto target = client.call(ClientMessage(Kind::kReadLink)(1u));
  EXPECT_EQ(target.reader().text(), "../secret");
  ASSERT_EQ(client.walk(0, 2, {}).error, 0);
  EXPECT_NE(client.create(2, "out", O_RDWR | O_TRUNC).error, 0) << "an existing name is a link";
  EXPECT_EQ(folder.read("../secret"), "secret");
}

TEST_F(FileServerTest, OnlyFilesAndFoldersAreOpened) {
  ASSERT_EQ(client
                .call(ClientMessage(Kind::kMakeNode)(0u)("pipe")(std::uint32_t{S_IFIFO | 0600})(0u)(
                    0u)(0u))
                .error,
            0);
  ASSERT_EQ(client.walk(0, 1, {"pipe"}).error, 0);
  EXPECT_EQ(client.open(1, O_RDONLY).error, ENXIO) << "it would wait for ever";
  ASSERT_EQ(client.walk(0, 2, {}).error, 0);
  EXPECT_EQ(client.create(2, "pipe", O_WRONLY).error, ENXIO);
  for (const std::uint32_t device : {std::uint32_t{S_IFCHR}, std::uint32_t{S_IFBLK}}) {
    EXPECT_EQ(
        client.call(ClientMessage(Kind::kMakeNode)(0u)("null")(device | 0666)(1u)(3u)(0u)).error,
        EPERM);
  }
}

TEST_F(FileServerTest, FlagsThatAreNotTheGuestsToChooseAreIgnored) {
  ASSERT_EQ(client.walk(0, 1, {}).error, 0);
  EXPECT_EQ(client.open(1, O_TMPFILE | O_RDWR).error, EISDIR);
  EXPECT_EQ(client.open(1, O_PATH).error, 0);
  EXPECT_EQ(client.call(ClientMessage(Kind::kReadFolder)(1u)(std::uint64_t{0})(500u)).error, 0);
}

TEST_F(FileServerTest, NoFileRunsAsItsOwner) {
  ASSERT_EQ(client.walk(0, 1, {}).error, 0);
  ASSERT_EQ(client.create(1, "file", O_RDWR, 06755).error, 0);
  struct stat info = {};
  ASSERT_EQ(::stat(folder.shared("file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 06000u, 0u);
  ClientMessage chmod(Kind::kSetAttributes);
  chmod(1u)(ninep::kSetMode)(06711u)(0u)(0u);
  for (int i = 0; i < 5; ++i) chmod(std::uint64_t{0});
  EXPECT_EQ(client.call(chmod).error, 0);
  ASSERT_EQ(::stat(folder.shared("file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0711u);
}

TEST_F(FileServerTest, AFolderIsReadToItsEndInParts) {
  std::set<std::string> wanted{".", ".."};
  for (int i = 0; i < 300; ++i) {
    wanted.insert("file" + std::to_string(i));
    folder.write("file" + std::to_string(i), "");
  }
  ASSERT_EQ(client.walk(0, 1, {}).error, 0);
  ASSERT_EQ(client.open(1, O_RDONLY | O_DIRECTORY).error, 0);
  std::set<std::string> seen;
  std::uint64_t offset = 0, root_identity = 0;
  for (;;) {
    const auto answer = client.call(ClientMessage(Kind::kReadFolder)(1u)(offset)(500u));
    ASSERT_EQ(answer.error, 0);
    auto in = answer.reader();
    const auto size = in.take<std::uint32_t>();
    ASSERT_LE(size, 500u);
    ASSERT_EQ(size, in.left());
    if (size == 0) break;
    while (in.left() != 0) {
      in.raw(5);
      const auto identity = in.take<std::uint64_t>();
      offset = in.take<std::uint64_t>();
      in.take<std::uint8_t>();
      const std::string name(in.text());
      EXPECT_TRUE(seen.insert(name).second) << name;
      if (name == ".") root_identity = identity;
      if (name == "..") EXPECT_TRUE(root_identity == 0 || identity == root_identity);
    }
    ASSERT_TRUE(in.good());
  }
  EXPECT_EQ(seen, wanted);
  EXPECT_EQ(client.call(ClientMessage(Kind::kReadFolder)(1u)(std::uint64_t{0})(20u)).error, EINVAL);
}

TEST_F(FileServerTest, AttributesAreReadAndSet) {
  folder.write("file", "12345");
  ASSERT_EQ(client.walk(0, 1, {"file"}).error, 0);
  ClientMessage set(Kind::kSetAttributes);
  set(1u)(ninep::kSetSize | ninep::kSetMode | ninep::kSetWriteTime | ninep::kWriteTimeGiven)(0640u);
  set(0u)(0u)(std::uint64_t{2})(std::uint64_t{0})(std::uint64_t{0})(std::uint64_t{1000});
  set(std::uint64_t{5});
  ASSERT_EQ(client.call(set).error, 0);
  EXPECT_EQ(folder.read("file"), "12");
  const auto answer = client.call(ClientMessage(Kind::kGetAttributes)(1u)(std::uint64_t{0x7ff}));
  auto in = answer.reader();
  EXPECT_EQ(in.take<std::uint64_t>(), 0x7ffu);
  in.raw(13);
  EXPECT_EQ(in.take<std::uint32_t>(), 0100640u);
  in.raw(8 + 8 + 8);
  EXPECT_EQ(in.take<std::uint64_t>(), 2u);
  in.raw(16 + 16);
  EXPECT_EQ(in.take<std::uint64_t>(), 1000u);
  EXPECT_EQ(in.take<std::uint64_t>(), 5u);
  EXPECT_EQ(answer.body.size(), 153u);
}

TEST_F(FileServerTest, TimesAreWhatTheGuestSaysAndNothingElse) {
  folder.write("file", "");
  ASSERT_EQ(client.walk(0, 1, {"file"}).error, 0);
  for (const std::uint64_t special : {(1ull << 30) - 1, (1ull << 30) - 2, ~0ull}) {
    ClientMessage set(Kind::kSetAttributes);
    set(1u)(ninep::kSetWriteTime | ninep::kWriteTimeGiven)(0u)(0u)(0u);
    set(std::uint64_t{0})(std::uint64_t{0})(std::uint64_t{0})(std::uint64_t{1000})(special);
    ASSERT_EQ(client.call(set).error, 0);
    struct stat info = {};
    ASSERT_EQ(::stat(folder.shared("file").c_str(), &info), 0);
    EXPECT_EQ(info.st_mtim.tv_sec, 1000);
    EXPECT_EQ(info.st_mtim.tv_nsec, 999'999'999);
  }
}

TEST_F(FileServerTest, FilesAreRenamedLinkedAndRemoved) {
  folder.write("a", "text");
  std::filesystem::create_directory(folder.shared("d"));
  ASSERT_EQ(client.walk(0, 1, {"d"}).error, 0);
  EXPECT_EQ(client.call(ClientMessage(Kind::kRenameAt)(0u)("a")(1u)("b")).error, 0);
  EXPECT_EQ(folder.read("d/b"), "text");
  ASSERT_EQ(client.walk(1, 2, {"b"}).error, 0);
  EXPECT_EQ(client.call(ClientMessage(Kind::kLink)(0u)(2u)("c")).error, 0);
  EXPECT_EQ(client.call(ClientMessage(Kind::kUnlinkAt)(1u)("b")(0u)).error, 0);
  EXPECT_EQ(folder.read("c"), "text");
  EXPECT_EQ(client.call(ClientMessage(Kind::kUnlinkAt)(0u)("d")(0u)).error, EISDIR);
  EXPECT_EQ(client.call(ClientMessage(Kind::kUnlinkAt)(0u)("d")(0x200u)).error, 0);
  EXPECT_FALSE(std::filesystem::exists(folder.shared("d")));
}

TEST_F(FileServerTest, AReadOnlyShareChangesNothing) {
  folder.write("file", "text");
  ShareClient reader(folder.open(true));
  ASSERT_EQ(reader.walk(0, 1, {"file"}).error, 0);
  for (const int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC})
    EXPECT_EQ(reader.open(1, flags).error, EROFS);
  ASSERT_EQ(reader.open(1, O_RDONLY).error, 0);
  EXPECT_EQ(reader.read(1, 0, 10), "text");
  EXPECT_EQ(reader.write(1, 0, "x").error, EROFS);
  ASSERT_EQ(reader.walk(0, 2, {}).error, 0);
  EXPECT_EQ(reader.create(2, "new", O_RDONLY).error, EROFS);
  EXPECT_EQ(reader.call(ClientMessage(Kind::kMakeFolder)(0u)("d")(0755u)(0u)).error, EROFS);
  EXPECT_EQ(reader.call(ClientMessage(Kind::kSymlink)(0u)("l")("x")(0u)).error, EROFS);
  EXPECT_EQ(reader.call(ClientMessage(Kind::kLink)(0u)(1u)("l")).error, EROFS);
  EXPECT_EQ(reader.call(ClientMessage(Kind::kRenameAt)(0u)("file")(0u)("f")).error, EROFS);
  EXPECT_EQ(reader.call(ClientMessage(Kind::kUnlinkAt)(0u)("file")(0u)).error, EROFS);
  EXPECT_EQ(reader.call(ClientMessage(Kind::kMakeNode)(0u)("n")(0100644u)(0u)(0u)(0u)).error,
            EROFS);
  ClientMessage set(Kind::kSetAttributes);
  set(1u)(ninep::kSetMode)(0777u)(0u)(0u);
  for (int i = 0; i < 5; ++i) set(std::uint64_t{0});
  EXPECT_EQ(reader.call(set).error, EROFS);
}

TEST_F(FileServerTest, LocksKeepOutTheHostAndAreShownToTheGuest) {
  folder.write("file", "");
  ASSERT_EQ(client.walk(0, 1, {"file"}).error, 0);
  ASSERT_EQ(client.open(1, O_RDONLY).error, 0);
  EXPECT_EQ(client.lock(1, ninep::kWriteLock, 10, 5, 77), ninep::kLockDone)
      << "also through a file that is open for reading";
  const UniqueFd host(::open(folder.shared("file").c_str(), O_RDWR | O_CLOEXEC));
  struct flock range = {};
  range.l_type = F_WRLCK, range.l_start = 12, range.l_len = 1;
  EXPECT_NE(::fcntl(host.get(), F_OFD_SETLK, &range), 0);
  range.l_start = 15;
  EXPECT_EQ(::fcntl(host.get(), F_OFD_SETLK, &range), 0);
  EXPECT_EQ(client.lock(1, ninep::kWriteLock, 14, 0, 77), ninep::kLockBlocked);
  const auto who = client.call(ClientMessage(Kind::kGetLock)(1u)(std::uint8_t{1})(
      std::uint64_t{14})(std::uint64_t{0})(77u)("guest"));
  auto in = who.reader();
  EXPECT_EQ(in.take<std::uint8_t>(), ninep::kWriteLock);
  EXPECT_EQ(in.take<std::uint64_t>(), 15u);
  EXPECT_EQ(in.take<std::uint64_t>(), 1u);
  EXPECT_EQ(client.lock(1, ninep::kUnlock, 0, 0, 77), ninep::kLockDone);
  range.l_start = 10, range.l_len = 5;
  EXPECT_EQ(::fcntl(host.get(), F_OFD_SETLK, &range), 0);
}

TEST_F(FileServerTest, AProcessKeepsItsLockByWhateverFidItAsksAgain) {
  folder.write("file", "");
  for (const std::uint32_t fid : {1u, 2u}) {
    ASSERT_EQ(client.walk(0, fid, {"file"}).error, 0);
    ASSERT_EQ(client.open(fid, O_RDWR).error, 0);
  }
  EXPECT_EQ(client.lock(1, ninep::kWriteLock, 0, 0, 7), ninep::kLockDone);
  EXPECT_EQ(client.lock(2, ninep::kWriteLock, 0, 0, 7), ninep::kLockDone);
  EXPECT_EQ(client.lock(2, ninep::kWriteLock, 0, 0, 8), ninep::kLockBlocked);
  EXPECT_EQ(client.clunk(1), 0);
  EXPECT_EQ(client.lock(2, ninep::kWriteLock, 0, 0, 8), ninep::kLockBlocked);
  EXPECT_EQ(client.clunk(2), 0);
  ASSERT_EQ(client.walk(0, 1, {"file"}).error, 0);
  ASSERT_EQ(client.open(1, O_RDWR).error, 0);
  EXPECT_EQ(client.lock(1, ninep::kWriteLock, 0, 0, 8), ninep::kLockDone);
}

TEST_F(FileServerTest, FidsAreTheClientsNumbersAndHaveAnEnd) {
  EXPECT_EQ(client.attach(0).error, EINVAL) << "in use";
  EXPECT_EQ(client.attach(ninep::kNoFid).error, EINVAL);
  EXPECT_EQ(client.read(0, 0, 1), "error 9") << "not open";
  EXPECT_EQ(client.walk(5, 6, {}).error, EBADF);
  EXPECT_EQ(client.clunk(5), EBADF);
  EXPECT_EQ(client.call(ClientMessage(Kind::kRemove)(0u)).error, EOPNOTSUPP);
  EXPECT_EQ(client.server.fids(), 0u) << "Tremove gives the fid back whatever happens";
  ASSERT_EQ(client.attach(0).error, 0);
  int error = 0;
  for (std::uint32_t fid = 1; error == 0 && fid <= FileServer::kMostFids; ++fid)
    error = client.walk(0, fid, {}).error;
  EXPECT_EQ(error, ENFILE);
  EXPECT_EQ(client.server.fids(), FileServer::kMostFids);
  client.server.reset();
  EXPECT_EQ(client.server.fids(), 0u);
}

TEST_F(FileServerTest, ManyFilesNeedNoSmallDescriptors) {
  folder.write("file", "");
  std::vector<UniqueFd> descriptors;
  for (std::uint32_t fid = 1; fid < 60; ++fid) ASSERT_EQ(client.walk(0, fid, {"file"}).error, 0);
  for (int i = 0; i < 3; ++i) {  // what was taken for a moment is free again
    const int own = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_LT(own, 40);
    descriptors.emplace_back(own);
  }
}

TEST_F(FileServerTest, AnOpenFidStandsForItsFileOnly) {
  folder.write("file", "text");
  ASSERT_EQ(client.walk(0, 1, {"file"}).error, 0);
  ASSERT_EQ(client.open(1, O_RDONLY).error, 0);
  EXPECT_EQ(client.open(1, O_RDWR).error, EBUSY);
  EXPECT_EQ(client.walk(1, 1, {}).error, EBUSY);
  EXPECT_EQ(client.write(1, 0, "x").error, EBADF) << "open for reading";
  std::filesystem::rename(folder.shared("file"), folder.shared("other"));
  EXPECT_EQ(client.read(1, 0, 10), "text") << "whatever its name is by now";
}

TEST_F(FileServerTest, ANewVersionForgetsTheSession) {
  EXPECT_EQ(client.call(ClientMessage(Kind::kVersion)(100u)("9P2000.L")).error, EINVAL);
  const auto other = client.call(ClientMessage(Kind::kVersion)(0xffffffffu)("9P2000.u"));
  auto in = other.reader();
  EXPECT_EQ(in.take<std::uint32_t>(), FileServer::kMostMessageBytes);
  EXPECT_EQ(in.text(), "unknown");
  EXPECT_EQ(client.server.fids(), 0u);
}

TEST_F(FileServerTest, MessagesAreAsLongAsWasAgreedOn) {
  ASSERT_EQ(client.call(ClientMessage(Kind::kVersion)(4096u)("9P2000.L")).error, 0);
  ASSERT_EQ(client.attach(0).error, 0);
  ASSERT_EQ(client.walk(0, 1, {}).error, 0);
  ASSERT_EQ(client.create(1, "file", O_RDWR).error, 0);
  EXPECT_EQ(client.write(1, 0, std::string(4097 - 23, 'x')).error, EMSGSIZE);
  EXPECT_EQ(client.write(1, 0, std::string(4096 - 23, 'x')).error, 0);
  EXPECT_EQ(client.read(1, 0, 5000).size(), 4096u - 23) << "and so are answers";
  EXPECT_EQ(client.write(1, 4096 - 23, std::string(4000, 'x')).error, 0);
  EXPECT_EQ(client.read(1, 0, 5000).size(), 4096u - 11);
}

TEST_F(FileServerTest, MessagesThatEndEarlyAreRefused) {
  folder.write("file", "text");
  ASSERT_EQ(client.walk(0, 1, {"file"}).error, 0);
  ASSERT_EQ(client.open(1, O_RDWR).error, 0);
  for (unsigned kind = 0; kind < 256; kind += 2) {
    const auto answer = client.call(ClientMessage(static_cast<Kind>(kind)));
    EXPECT_NE(answer.error, 0) << kind;
  }
  ClientMessage lies(Kind::kWrite);
  lies(1u)(std::uint64_t{0})(1000u).raw("few");
  EXPECT_EQ(client.call(lies).error, EINVAL);
  ClientMessage many(Kind::kWalk);
  many(0u)(2u)(std::uint16_t{17});
  EXPECT_EQ(client.call(many).error, EINVAL);
  EXPECT_EQ(folder.read("file"), "text");
}

TEST_F(FileServerTest, AnswersNeverOutgrowTheirRoom) {
  folder.write("file", std::string(1000, 'x'));
  ASSERT_EQ(client.walk(0, 1, {"file"}).error, 0);
  ASSERT_EQ(client.open(1, O_RDONLY).error, 0);
  const ClientMessage read = ClientMessage(Kind::kRead)(1u)(std::uint64_t{0})(0xffffffffu);
  EXPECT_EQ(client.call(read, 100).body.size(), 100 - ninep::kHeaderBytes);
  for (std::size_t room = ninep::kErrorBytes; room < 20; ++room) {
    client.call(read, room);
    client.call(ClientMessage(Kind::kStatfs)(1u), room);
    client.call(ClientMessage(Kind::kGetAttributes)(1u)(std::uint64_t{0}), room);
    client.walk(0, 2, {"file"});
    client.clunk(2);
  }
  EXPECT_EQ(client.call(ClientMessage(Kind::kStatfs)(1u), 20).error, EMSGSIZE);
}

TEST_F(FileServerTest, ThePermissionsAreThoseThatTheGuestAsksFor) {
  ASSERT_EQ(client.walk(0, 1, {}).error, 0);
  const mode_t before = ::umask(077);
  std::thread([&] {
    FileServer::prepare_thread();
    EXPECT_EQ(client.create(1, "file", O_RDWR, 0666).error, 0);
  }).join();
  EXPECT_EQ(::umask(before), 077u) << "of other threads";
  struct stat info = {};
  ASSERT_EQ(::stat(folder.shared("file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0666u);
}

TEST(SharedFolderTest, NamesThatNobodyCheckedLeadNowhereEither) {
  const ShareFolder folder;
  std::filesystem::create_directory_symlink("..", folder.shared("up"));
  std::filesystem::create_directory(folder.shared("d"));
  const auto shared = folder.open();
  for (const char* name : {"..", "../secret", "/etc/passwd", "up/secret", "d/../../secret"})
    EXPECT_FALSE(shared->look_up(*shared->root(), name)) << name;
}

TEST(SharedFolderTest, WhatIsNoFolderIsRefused) {
  const ShareFolder folder;
  folder.write("file", "");
  for (const char* name : {"file", "missing"}) {
    const auto shared = SharedFolder::open(folder.shared(name), false);
    ASSERT_FALSE(shared);
    EXPECT_EQ(shared.error().blame, Blame::kUsage);
    EXPECT_THAT(shared.error().message, ::testing::HasSubstr(name));
  }
}

}  // namespace
}  // namespace vireo::backends
