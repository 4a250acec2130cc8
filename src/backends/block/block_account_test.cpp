#include "backends/block/block_account.h"

#include <gtest/gtest.h>

#include "backends/block/block_test_support.h"

namespace vireo::backends {
namespace {

/// Raw, and qcow2 in a temporary file over it.
struct BlockAccountTest : ::testing::TestWithParam<bool> {
  void SetUp() override {
    write_whole_file(folder.file("disk"), Bytes(1 << 20, 0));
    disk = open_or_fail({.path = folder.file("disk"), .discard_changes = GetParam()});
    ASSERT_NE(disk, nullptr);
  }
  TemporaryFolder folder;
  std::unique_ptr<BlockBackend> disk;
};

INSTANTIATE_TEST_SUITE_P(Formats, BlockAccountTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Qcow2" : "Raw"; });

TEST_P(BlockAccountTest, WhatWasDoneIsCounted) {
  EXPECT_EQ(disk->counters(), BlockCounters{});
  EXPECT_FALSE(write(*disk, 4096, Bytes(8192, 1)));
  read_or_fail(*disk, 0, 512);
  read_or_fail(*disk, 512, 1024);
  EXPECT_FALSE(flush(*disk));
  EXPECT_FALSE(discard(*disk, 0, 4096));
  EXPECT_EQ(disk->counters(), (BlockCounters{5, 1536, 8192, 1, 0}));
}

TEST_P(BlockAccountTest, WhatFailedIsCountedAsSuch) {
  EXPECT_TRUE(write(*disk, 1 << 20, Bytes(512, 1)));
  EXPECT_EQ(disk->counters(), (BlockCounters{1, 0, 0, 0, 1}));
}

}  // namespace
}  // namespace vireo::backends
