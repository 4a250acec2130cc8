// What a guest and the host's user rely on, beyond the bytes.
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>
#include <thread>

#include "backends/block/qcow2/qemu_tools_test.h"

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

struct Qcow2BackendTest : ::testing::Test {
  void SetUp() override {
    if (!has_qemu_tools()) GTEST_SKIP() << "qemu-img and qemu-io are not installed";
  }
  void create(const std::string& arguments, const std::string& size = "4M") {
    qemu("qemu-img create -q -f qcow2 " + arguments + " " + image + " " + size);
  }
  std::uint64_t place() const {
    struct stat info = {};
    EXPECT_EQ(::stat(image.c_str(), &info), 0);
    return static_cast<std::uint64_t>(info.st_blocks) * 512;
  }

  TemporaryFolder folder;
  const std::string image = folder.file("disk.qcow2");
};

TEST_F(Qcow2BackendTest, WhatWasFlushedIsInTheFile) {
  create("-o cluster_size=4096");
  auto disk = open_or_fail({.path = image});
  ASSERT_FALSE(write(*disk, 1000 * 512, Bytes(100 * 512, 9)));
  ASSERT_FALSE(flush(*disk));
  // A copy is what a program would find that opens the file after this one was killed.
  std::filesystem::copy_file(image, folder.file("copy.qcow2"));
  expect_clean(folder.file("copy.qcow2"));
  Bytes expected(4 << 20);
  std::fill_n(expected.begin() + 1000 * 512, 100 * 512, std::uint8_t{9});
  expect_content(folder.file("copy.qcow2"), expected, folder.file("model"));
}

TEST_F(Qcow2BackendTest, WhatNobodyFlushesIsInTheFileSoon) {
  create("-o cluster_size=4096");
  const std::string copy = folder.file("copy.qcow2");
  auto disk = open_or_fail({.path = image, .commit_after = std::chrono::milliseconds(50)});
  for (const std::uint8_t value : Bytes{9, 8}) {  // it does so more than once
    const Bytes content(100 * 512, value);
    const std::uint64_t place = value * 100'000u / 512 * 512;
    ASSERT_FALSE(write(*disk, place, content));
    Bytes found;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (found != content && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      std::filesystem::copy_file(image, copy, std::filesystem::copy_options::overwrite_existing);
      found = read_or_fail(*open_or_fail({.path = copy, .read_only = true}), place, content.size());
    }
    EXPECT_EQ(found, content);
  }
  std::filesystem::copy_file(image, copy, std::filesystem::copy_options::overwrite_existing);
  expect_clean(copy);
  EXPECT_EQ(disk->counters().flushes, 0u);
}

TEST_F(Qcow2BackendTest, WhatIsFlushedIsNotWrittenOnceMore) {
  create("");
  auto disk = open_or_fail({.path = image, .commit_after = std::chrono::milliseconds(10)});
  ASSERT_FALSE(write(*disk, 0, Bytes(512, 9)));
  ASSERT_FALSE(flush(*disk));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const auto before = std::filesystem::last_write_time(image);
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_EQ(std::filesystem::last_write_time(image), before);
}

TEST_F(Qcow2BackendTest, DiscardedClustersGoBackToTheHostAndAreUsedAgain) {
  create("");
  auto disk = open_or_fail({.path = image});
  ASSERT_FALSE(write(*disk, 0, Bytes(4 << 20, 9)));
  ASSERT_FALSE(flush(*disk));
  const auto length = std::filesystem::file_size(image);
  const auto before = place();
  ASSERT_GE(before, 4u << 20);
  ASSERT_FALSE(discard(*disk, 0, 3 << 20));
  ASSERT_FALSE(flush(*disk));
  EXPECT_LE(place(), before - (3u << 20));
  EXPECT_EQ(read_or_fail(*disk, 0, 3 << 20), Bytes(3 << 20));
  ASSERT_FALSE(write(*disk, 0, Bytes(3 << 20, 8)));
  ASSERT_FALSE(flush(*disk));
  EXPECT_EQ(std::filesystem::file_size(image), length);
  disk.reset();
  expect_clean(image);
}

TEST_F(Qcow2BackendTest, ZeroesKeepTheirPlaceUnlessTheyMayLoseIt) {
  create("");
  auto disk = open_or_fail({.path = image});
  ASSERT_FALSE(write(*disk, 0, Bytes(4 << 20, 9)));
  ASSERT_FALSE(flush(*disk));
  const auto before = place();
  ASSERT_FALSE(write_zeroes(*disk, 0, 2 << 20, false));
  ASSERT_FALSE(flush(*disk));
  EXPECT_EQ(place(), before);
  ASSERT_FALSE(write_zeroes(*disk, 0, 2 << 20, true));
  ASSERT_FALSE(flush(*disk));
  EXPECT_LE(place(), before - (2u << 20));
  EXPECT_EQ(read_or_fail(*disk, 0, 2 << 20), Bytes(2 << 20));
}

TEST_F(Qcow2BackendTest, ADiscardDoesNotUncoverTheBackingFile) {
  write_whole_file(folder.file("base.raw"), Bytes(4 << 20, 7));
  create("-F raw -b base.raw");
  auto disk = open_or_fail({.path = image});
  ASSERT_FALSE(write(*disk, 0, Bytes(65536, 1)));
  ASSERT_FALSE(discard(*disk, 0, 65536));
  EXPECT_EQ(read_or_fail(*disk, 0, 65536), Bytes(65536, 0));
  EXPECT_EQ(read_or_fail(*disk, 65536, 512), Bytes(512, 7));
}

TEST_F(Qcow2BackendTest, DiscardedChangesLeaveNoTrace) {
  create("-o cluster_size=4096");
  qemu("qemu-io -f qcow2 -c 'write -q -P 3 0 4M' " + image);
  write_whole_file(folder.file("disk.raw"), Bytes(1 << 20, 3));
  for (const std::string& path : {image, folder.file("disk.raw")}) {
    const Bytes before = read_whole_file(path);
    {
      auto disk = open_or_fail({.path = path, .discard_changes = true});
      EXPECT_FALSE(disk->read_only());
      EXPECT_FALSE(write(*disk, 512, Bytes(100000 / 512 * 512, 9)));
      EXPECT_FALSE(write_zeroes(*disk, 131072, 131072, true));
      EXPECT_FALSE(flush(*disk));
      EXPECT_EQ(read_or_fail(*disk, 0, 512), Bytes(512, 3));
      EXPECT_EQ(read_or_fail(*disk, 512, 512), Bytes(512, 9));
      EXPECT_EQ(read_or_fail(*disk, 131072, 512), Bytes(512, 0));
      EXPECT_EQ(read_or_fail(*disk, (1 << 20) - 512, 512), Bytes(512, 3));
      EXPECT_EQ(refusal({.path = path, .discard_changes = true}), "") << "two may do so";
    }
    EXPECT_EQ(read_whole_file(path), before);
  }
  const auto entries = std::distance(std::filesystem::directory_iterator(folder.path()), {});
  EXPECT_EQ(entries, 2);
}

TEST_F(Qcow2BackendTest, ARequestMayBeAsLargeAsTheDisk) {
  create("-o cluster_size=512");
  auto disk = open_or_fail({.path = image});
  Bytes bytes(4 << 20);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i >> 7);
  ASSERT_FALSE(write(*disk, 0, bytes));
  EXPECT_EQ(read_or_fail(*disk, 0, bytes.size()), bytes);
  ASSERT_FALSE(discard(*disk, 0, bytes.size()));
  EXPECT_EQ(read_or_fail(*disk, 0, bytes.size()), Bytes(bytes.size()));
}

TEST_F(Qcow2BackendTest, DoesNotLookForEverForAFreeCluster) {
  create("-o cluster_size=512");
  // Each block of refcounts is one and the same, and says that all is in use.
  Bytes bytes = read_whole_file(image);
  const auto number_at = [&](std::size_t offset) {
    std::size_t number = 0;
    for (std::size_t i = 0; i < 8; ++i) number = number << 8 | bytes.at(offset + i);
    return number;
  };
  const std::size_t table = number_at(48), block = number_at(table);
  for (std::size_t i = 8; i < 512; ++i) bytes[table + i] = bytes[table + i % 8];
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(block), 512, std::uint8_t{0xff});
  write_whole_file(image, bytes);
  auto disk = open_or_fail({.path = image});
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(write(*disk, 0, Bytes(512, 1)), std::make_error_code(std::errc::io_error));
  EXPECT_EQ(read_or_fail(*disk, 0, 512), Bytes(512));
}

/// Random writes of which some have no room; those that fail leave any content.
void write_past_the_limit(BlockBackend& disk, Bytes& model, unsigned requests, unsigned& failed) {
  std::mt19937_64 random(3);
  for (unsigned i = 0; i < requests; ++i) {
    const std::uint64_t offset = random() % (model.size() / 512 - 64) * 512;
    const Bytes bytes((1 + random() % 64) * 512, static_cast<std::uint8_t>(i));
    if (write(disk, offset, bytes)) ++failed;
    if (random() % 8 == 0) static_cast<void>(flush(disk));
    const Bytes now = read_or_fail(disk, offset, bytes.size());
    std::copy(now.begin(), now.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
  }
}

TEST_F(Qcow2BackendTest, GoesOnAfterTheFileReachedItsLimit) {
  for (const char* options : {"cluster_size=512", "cluster_size=4096", "cluster_size=64k"}) {
    create("-o " + std::string(options));
    auto disk = open_or_fail({.path = image});
    Bytes model(4 << 20);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit low{1 << 20, before.rlim_max};
    unsigned failed = 0, failed_later = 0;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
    ::testing::internal::CaptureStderr();
    write_past_the_limit(*disk, model, 200, failed);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    const std::string told = ::testing::internal::GetCapturedStderr();
    EXPECT_THAT(told, HasSubstr("the qcow2 image " + image + " cannot be written: File too large"));
    EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
    EXPECT_GT(failed, 0u);
    write_past_the_limit(*disk, model, 200, failed_later);
    EXPECT_EQ(failed_later, 0u);
    EXPECT_FALSE(flush(*disk));
    EXPECT_EQ(read_or_fail(*disk, 0, model.size()), model);
    disk.reset();
    expect_clean(image);
    expect_content(image, model, folder.file("model"));
  }
}

/// In a process of its own, where `folder` is a file system with room for 2 MiB. 0: as it should
/// be.
int fill_a_small_host_disk(const std::string& folder) {
  const auto user = ::getuid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
  }
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
  if (::mount("none", folder.c_str(), "tmpfs", 0, "size=2m") != 0) return 77;
  const std::string image = folder + "/disk.qcow2";
  if (run_command("qemu-img create -q -f qcow2 -o cluster_size=4096 " + image + " 8M").status != 0)
    return 1;
  auto disk = open_block_backend({.path = image});
  if (!disk) return 2;
  Bytes model(8 << 20);
  unsigned failed = 0;
  write_past_the_limit(**disk, model, 300, failed);
  if (failed == 0) return 3;
  // Room is made by the guest itself, which then can write again, with a flush in between or not.
  for (int i = 0; i < 2; ++i) {
    if (discard(**disk, 0, 4 << 20)) return 4;
    if (i == 0 && flush(**disk)) return 5;
    if (write(**disk, 0, Bytes(131072, 1))) return 6 + 10 * i;
    for (int at = 131072; at < 4 << 20; at += 65536)
      static_cast<void>(write(**disk, static_cast<std::uint64_t>(at), Bytes(65536, 2)));
  }
  if (discard(**disk, 65536, (4 << 20) - 65536)) return 8;
  if (flush(**disk)) return 7;
  std::fill_n(model.begin(), 4 << 20, std::uint8_t{0});
  std::fill_n(model.begin(), 65536, std::uint8_t{1});
  if (read_or_fail(**disk, 0, model.size()) != model) return 10;
  disk->reset();
  return run_command("qemu-img check -f qcow2 " + image).status == 0 ? 0 : 9;
}

TEST_F(Qcow2BackendTest, GoesOnAfterTheHostDiskWasFull) {
  const std::string small = folder.file("small");
  std::filesystem::create_directory(small);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(fill_a_small_host_disk(small));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this host lets nobody mount a file system";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace vireo::backends
