#include "backends/block/file_io.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>

#include "backends/block/block_test_support.h"

namespace vireo::backends {
namespace {

/// Each way to carry out transfers keeps the same promises.
struct FileIoTest : ::testing::TestWithParam<bool> {
  void SetUp() override {
    write_whole_file(folder.file("file"), Bytes(100000, 1));
    file = *ImageFile::open(folder.file("file"), false);
    if (GetParam()) {
      auto ring = open_uring_io();
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

INSTANTIATE_TEST_SUITE_P(Threads, FileIoTest, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Ring, FileIoTest, ::testing::Values(true));

}  // namespace
}  // namespace vireo::backends
