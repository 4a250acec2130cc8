#include "backends/block/file_io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <future>
#include <utility>

#include "backends/block/block_test_support.h"

namespace vireo::backends {
namespace {

/// Of which the host has nothing at hand.
class ColdFile final : public ImageFile {
 public:
  explicit ColdFile(const std::string& path)
      : ImageFile(UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC)), path, false) {}
  std::uint64_t read_at_once(std::uint64_t, std::span<const iovec>) const override { return 0; }
  std::uint64_t write_at_once(std::uint64_t, std::span<const iovec>) override { return 0; }
};

/// Of which the host does a few bytes at once.
class LukewarmFile final : public ImageFile {
 public:
  explicit LukewarmFile(const std::string& path)
      : ImageFile(UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC)), path, false) {}
  std::uint64_t read_at_once(std::uint64_t at, std::span<const iovec> buffers) const override {
    return ImageFile::read(at, slice(buffers, 0, kBytes)) ? 0 : count(buffers);
  }
  std::uint64_t write_at_once(std::uint64_t at, std::span<const iovec> buffers) override {
    return ImageFile::write(at, slice(buffers, 0, kBytes)) ? 0 : count(buffers);
  }

 private:
  static constexpr std::uint64_t kBytes = 7;
  static std::uint64_t count(std::span<const iovec> buffers) {
    return std::min(kBytes, total_length(buffers));
  }
};

enum class Way { kThreads, kRing, kRingCold, kRingLukewarm };

/// Each way to carry out transfers keeps the same promises.
struct FileIoTest : ::testing::TestWithParam<Way> {
  void SetUp() override {
    write_whole_file(folder.file("file"), Bytes(100000, 1));
    if (GetParam() == Way::kRingCold) {
      file = std::make_shared<ColdFile>(folder.file("file"));
    } else if (GetParam() == Way::kRingLukewarm) {
      file = std::make_shared<LukewarmFile>(folder.file("file"));
    } else {
      file = *ImageFile::open(folder.file("file"), false);
    }
    if (GetParam() != Way::kThreads) {
      auto ring = open_uring_io(pool);
      if (!ring) GTEST_SKIP() << ring.error().message;
      io = std::move(*ring);
    } else {
      io = make_pool_io(pool);
    }
  }
  std::error_code carry_out(FileTransfer::Kind kind, std::uint64_t offset, Iovecs buffers = {}) {
    std::promise<std::error_code> result;
    io->submit({kind, file.get(), offset, std::move(buffers),
                [&](std::error_code error) { result.set_value(error); }});
    return result.get_future().get();
  }
  TemporaryFolder folder;
  std::shared_ptr<ImageFile> file;
  WorkerPool pool{4};
  std::unique_ptr<FileIo> io;
};

TEST_P(FileIoTest, TransfersMoreBuffersThanOneCallTakes) {
  Bytes bytes(5000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i % 251);
  const Bytes expected = bytes;
  Iovecs buffers;
  for (auto& byte : bytes) buffers.push_back({&byte, 1});
  EXPECT_FALSE(carry_out(FileTransfer::Kind::kWrite, 1234, buffers));
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  EXPECT_FALSE(carry_out(FileTransfer::Kind::kRead, 1234, buffers));
  EXPECT_EQ(bytes, expected);
}

TEST_P(FileIoTest, ReadsZeroesBehindTheEnd) {
  Bytes bytes(300, 9);
  EXPECT_FALSE(carry_out(FileTransfer::Kind::kRead, 99900, {{bytes.data(), bytes.size()}}));
  EXPECT_EQ(Bytes(bytes.begin(), bytes.begin() + 100), Bytes(100, 1));
  EXPECT_EQ(Bytes(bytes.begin() + 100, bytes.end()), Bytes(200, 0));
  EXPECT_FALSE(carry_out(FileTransfer::Kind::kRead, 1 << 20, {{bytes.data(), bytes.size()}}));
  EXPECT_EQ(bytes, Bytes(300, 0));
}

TEST_P(FileIoTest, NothingToDoIsDone) {
  EXPECT_FALSE(carry_out(FileTransfer::Kind::kRead, 0));
  EXPECT_FALSE(carry_out(FileTransfer::Kind::kWrite, 0, {{nullptr, 0}}));
  EXPECT_FALSE(carry_out(FileTransfer::Kind::kSync, 0));
}

TEST_P(FileIoTest, SaysWhyItFailed) {
  file.reset();  // two uses of one file, one of them to write, are refused
  file = *ImageFile::open(folder.file("file"), true);
  Bytes bytes(512);
  EXPECT_TRUE(carry_out(FileTransfer::Kind::kWrite, 0, {{bytes.data(), bytes.size()}}));
}

TEST_P(FileIoTest, AFailedSyncFailsForEver) {
  EXPECT_FALSE(file->judge_sync({}));
  EXPECT_TRUE(file->judge_sync(std::make_error_code(std::errc::io_error)));
  EXPECT_TRUE(file->sync());
  EXPECT_TRUE(carry_out(FileTransfer::Kind::kSync, 0));
}

TEST_P(FileIoTest, TakesMoreThanTheKernelDoesAtATime) {
  std::vector<Bytes> blocks(3000, Bytes(16));
  std::atomic<int> done = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i)
    io->submit({FileTransfer::Kind::kRead,
                file.get(),
                i,
                {{blocks[i].data(), 16}},
                [&](std::error_code error) { done += error ? 100000 : 1; }});
  io.reset();
  EXPECT_EQ(done, 3000);
  for (const Bytes& block : blocks) EXPECT_EQ(block, Bytes(16, 1));
}

/// Of which the host has nothing at hand; tells what it was asked to begin with.
class WatchedFile final : public ImageFile {
 public:
  explicit WatchedFile(const std::string& path)
      : ImageFile(UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC)), path, false) {}
  std::uint64_t read_at_once(std::uint64_t, std::span<const iovec>) const override { return 0; }
  void begin_read(std::uint64_t offset, std::uint64_t length) override {
    begun.emplace_back(offset, length);
  }
  void begin_write_back(std::uint64_t offset, std::uint64_t length) override {
    begun.emplace_back(offset, length);
    ImageFile::begin_write_back(offset, length);
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> begun;
};

TEST_P(FileIoTest, ALargeWriteIsOnItsWayToTheDiskAtOnce) {
  if (GetParam() == Way::kThreads) GTEST_SKIP() << "the ring's alone";
  WatchedFile watched(folder.file("file"));
  file.reset();
  Bytes bytes(1 << 20, 3);
  std::atomic<int> done = 0;
  for (const std::size_t size : {bytes.size(), std::size_t{4096}})
    io->submit({FileTransfer::Kind::kWrite,
                &watched,
                8192,
                {{bytes.data(), size}},
                [&](std::error_code error) { done += error ? 100 : 1; }});
  io.reset();
  EXPECT_EQ(done, 2);
  using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  EXPECT_EQ(watched.begun, (Ranges{{8192, 1 << 20}}));
}

TEST_P(FileIoTest, OfALargeReadTheDiskIsAskedForAllAtOnceAndForMoreIfItGoesOn) {
  if (GetParam() == Way::kThreads) GTEST_SKIP() << "the ring's alone";
  write_whole_file(folder.file("file"), Bytes(3 << 20, 5));
  WatchedFile watched(folder.file("file"));
  file.reset();
  constexpr std::uint64_t kMiB = 1 << 20;
  for (const std::uint64_t at : {1 * kMiB, 2 * kMiB, std::uint64_t{0}}) {
    Bytes bytes(kMiB);
    std::promise<std::error_code> result;
    io->submit({FileTransfer::Kind::kRead,
                &watched,
                at,
                {{bytes.data(), bytes.size()}},
                [&](std::error_code error) { result.set_value(error); }});
    EXPECT_FALSE(result.get_future().get());
    EXPECT_EQ(bytes, Bytes(kMiB, 5));
  }
  using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  EXPECT_EQ(watched.begun, (Ranges{{kMiB, kMiB}, {2 * kMiB, 2 * kMiB}, {0, kMiB}}));
}

TEST_P(FileIoTest, WritesThatFollowEachOtherAreDoneInTheirOrder) {
  if (GetParam() == Way::kThreads) GTEST_SKIP() << "threads have no order";
  std::vector<Bytes> blocks;
  for (unsigned i = 0; i < 200; ++i) blocks.emplace_back(512, static_cast<std::uint8_t>(i));
  std::atomic<int> done = 0;
  for (Bytes& block : blocks)
    io->submit({FileTransfer::Kind::kWrite,
                file.get(),
                4096,
                {{block.data(), block.size()}},
                [&](std::error_code error) { done += error ? 100000 : 1; }});
  io.reset();
  EXPECT_EQ(done, 200);
  EXPECT_EQ(read_whole_file(folder.file("file"))[4096 + 511], 199);
}

TEST_P(FileIoTest, ACompletionMaySubmitMore) {
  Bytes bytes(512);
  std::promise<void> finished;
  int left = 1000;
  std::function<void(std::error_code)> next = [&](std::error_code error) {
    if (error || --left == 0) return finished.set_value();
    io->submit({FileTransfer::Kind::kRead, file.get(), 0, {{bytes.data(), 512}}, next});
  };
  next({});
  finished.get_future().wait();
  EXPECT_EQ(left, 0);
}

/// As a container does: from here on the kernel has no io_uring for this process.
bool forbid_uring() {
  std::array<sock_filter, 4> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{filter.size(), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// In a process of its own. 0: as it should be.
int use_a_disk_without_uring(const std::string& path) {
  if (!forbid_uring()) return 77;
  WorkerPool pool(1);
  if (open_uring_io(pool)) return 1;
  const auto disk = open_block_backend({.path = path, .format = "raw"});
  if (!disk) return 2;
  if (write(**disk, 512, Bytes(4096, 7)) || flush(**disk)) return 3;
  Bytes bytes(4096);
  if (read(**disk, 512, bytes) || bytes != Bytes(4096, 7)) return 4;
  return 0;
}

TEST(FileIo, WhereTheHostRefusesTheRingThreadsTakeItsPlace) {
  const TemporaryFolder folder;
  const std::string path = folder.file("disk");
  write_whole_file(path, Bytes(65536));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(use_a_disk_without_uring(path));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this host lets nobody filter system calls";
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(read_whole_file(path).at(512), 7);
}

INSTANTIATE_TEST_SUITE_P(Threads, FileIoTest, ::testing::Values(Way::kThreads));
INSTANTIATE_TEST_SUITE_P(Ring, FileIoTest,
                         ::testing::Values(Way::kRing, Way::kRingCold, Way::kRingLukewarm));

}  // namespace
}  // namespace vireo::backends
