#include <gmock/gmock.h>
#include <sys/resource.h>

#include <atomic>

#include "backends/block/block_test_support.h"

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

struct RawBackendTest : ::testing::Test {
  std::string image(std::uint64_t size) {
    const std::string path = folder.file("disk.raw");
    write_whole_file(path, Bytes(size, 0));
    return path;
  }
  TemporaryFolder folder;
};

TEST_F(RawBackendTest, ReadsWhatWasWrittenAndLeavesItInTheFile) {
  const std::string path = image(1 << 20);
  auto disk = open_or_fail({.path = path});
  EXPECT_EQ(disk->size(), 1u << 20);
  EXPECT_EQ(disk->name(), "raw image " + path);
  EXPECT_FALSE(disk->read_only());
  EXPECT_FALSE(write(*disk, 4096, Bytes(8192, 0xab)));
  EXPECT_EQ(read_or_fail(*disk, 4096, 8192), Bytes(8192, 0xab));
  EXPECT_EQ(read_or_fail(*disk, 0, 4096), Bytes(4096, 0));
  EXPECT_FALSE(flush(*disk));
  const Bytes bytes = read_whole_file(path);
  EXPECT_EQ(bytes.size(), 1u << 20);
  EXPECT_EQ(Bytes(bytes.begin() + 4096, bytes.begin() + 12288), Bytes(8192, 0xab));
}

TEST_F(RawBackendTest, GathersAndScattersManySmallBuffers) {
  auto disk = open_or_fail({.path = image(4 << 20)});
  Bytes bytes(3000 * 512);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i / 512 + i);
  std::vector<iovec> buffers;  // more than the host takes in one call
  for (std::size_t i = 0; i < 3000; ++i) buffers.push_back({bytes.data() + i * 512, 512});
  buffers.insert(buffers.begin() + 7, iovec{nullptr, 0});
  EXPECT_FALSE(carry_out(*disk, {.operation = BlockOperation::kWrite,
                                 .offset = 512,
                                 .length = bytes.size(),
                                 .buffers = buffers}));
  const Bytes expected = bytes;
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  EXPECT_FALSE(carry_out(*disk, {.operation = BlockOperation::kRead,
                                 .offset = 512,
                                 .length = bytes.size(),
                                 .buffers = buffers}));
  EXPECT_EQ(bytes, expected);
}

TEST_F(RawBackendTest, RefusesWhatLiesOutsideTheDisk) {
  auto disk = open_or_fail({.path = image(8192)});
  const auto invalid = std::make_error_code(std::errc::invalid_argument);
  EXPECT_EQ(write(*disk, 8192, Bytes(512)), invalid);
  EXPECT_EQ(write(*disk, 4096, Bytes(8192)), invalid);
  EXPECT_EQ(discard(*disk, ~std::uint64_t{0} - 511, 1024), invalid);
  EXPECT_EQ(write_zeroes(*disk, 512, ~std::uint64_t{0}, true), invalid);
  EXPECT_FALSE(write(*disk, 8192, Bytes()));
  EXPECT_EQ(read_whole_file(disk->name().substr(10)).size(), 8192u);
  EXPECT_EQ(carry_out(*disk, {.operation = BlockOperation::kRead, .offset = 0, .length = 512}),
            invalid)
      << "no buffers for the length";
}

TEST_F(RawBackendTest, ZeroesAndDiscards) {
  const std::string path = image(1 << 20);
  auto disk = open_or_fail({.path = path, .format = "raw"});
  ASSERT_FALSE(write(*disk, 0, Bytes(1 << 20, 0x55)));
  EXPECT_FALSE(write_zeroes(*disk, 512, 1024, false));
  EXPECT_FALSE(write_zeroes(*disk, 65536, 65536 + 512, true));
  EXPECT_FALSE(discard(*disk, 262144, 262144));
  EXPECT_FALSE(discard(*disk, 0, 0));
  EXPECT_FALSE(write_zeroes(*disk, 0, 0, true));
  EXPECT_EQ(read_or_fail(*disk, 0, 512), Bytes(512, 0x55));
  EXPECT_EQ(read_or_fail(*disk, 512, 1024), Bytes(1024, 0));
  EXPECT_EQ(read_or_fail(*disk, 65536, 65536 + 512), Bytes(65536 + 512, 0));
  EXPECT_EQ(read_or_fail(*disk, 131072 + 512, 512), Bytes(512, 0x55));
  EXPECT_EQ(read_whole_file(path).size(), 1u << 20);
}

TEST_F(RawBackendTest, TwoWritersOfOneImageAreRefused) {
  const std::string path = image(8192);
  auto disk = open_or_fail({.path = path});
  EXPECT_THAT(refusal({.path = path}), HasSubstr("in use by another program"));
  EXPECT_THAT(refusal({.path = path, .read_only = true}), HasSubstr("in use by another program"));
  disk.reset();
  auto first = open_or_fail({.path = path, .read_only = true});
  auto second = open_or_fail({.path = path, .read_only = true});
  EXPECT_THAT(refusal({.path = path}), HasSubstr("in use by another program"));
  first.reset();
  second.reset();
  EXPECT_EQ(refusal({.path = path}), "");
}

TEST_F(RawBackendTest, AReadOnlyDiskTakesNoWrites) {
  auto disk = open_or_fail({.path = image(8192), .read_only = true});
  EXPECT_TRUE(disk->read_only());
  const auto read_only = std::make_error_code(std::errc::read_only_file_system);
  EXPECT_EQ(write(*disk, 0, Bytes(512)), read_only);
  EXPECT_EQ(discard(*disk, 0, 512), read_only);
  EXPECT_EQ(write_zeroes(*disk, 0, 512, true), read_only);
  EXPECT_FALSE(flush(*disk));
}

TEST_F(RawBackendTest, AGuestCannotTurnAnImageIntoAnotherFormat) {
  const std::string path = image(8192);
  Bytes head(1024, 7);
  head[0] = 'Q', head[1] = 'F', head[2] = 'I', head[3] = 0xfb;
  {
    auto disk = open_or_fail({.path = path});
    EXPECT_EQ(write(*disk, 0, head), std::make_error_code(std::errc::operation_not_permitted));
    EXPECT_EQ(write(*disk, 1, Bytes(8)), std::make_error_code(std::errc::operation_not_permitted));
    head[0] = 'q';
    EXPECT_FALSE(write(*disk, 0, head));
    EXPECT_EQ(read_or_fail(*disk, 0, 1024), head);
  }
  head[0] = 'Q';
  auto disk = open_or_fail({.path = path, .format = "raw"});
  EXPECT_FALSE(write(*disk, 0, head)) << "nobody will look at the content";
}

TEST_F(RawBackendTest, SaysWhatIsWrongWithAnImage) {
  EXPECT_THAT(refusal({.path = folder.file("none")}), HasSubstr("No such file"));
  EXPECT_THAT(refusal({.path = folder.path(), .read_only = true}),
              HasSubstr("neither a regular file nor a block device"));
  EXPECT_THAT(refusal({.path = image(1000)}), HasSubstr("no multiple of 512"));
  EXPECT_THAT(refusal({.path = image(1024), .format = "vmdk"}), HasSubstr("'vmdk' is unknown"));
}

TEST_F(RawBackendTest, ManyRequestsAtATimeAreAllDoneAfterADrain) {
  auto disk = open_or_fail({.path = image(1 << 20)});
  std::vector<Bytes> blocks;
  for (unsigned i = 0; i < 256; ++i) blocks.emplace_back(4096, static_cast<std::uint8_t>(i + 1));
  std::atomic<unsigned> done = 0;
  for (unsigned i = 0; i < 256; ++i) {
    const iovec buffer{blocks[i].data(), 4096};
    disk->submit({.operation = BlockOperation::kWrite,
                  .offset = i * 4096u,
                  .length = 4096,
                  .buffers = {&buffer, 1},
                  .done = [&](std::error_code error) { done += error ? 1000 : 1; }});
  }
  disk->drain();
  EXPECT_EQ(done, 256u);
  for (unsigned i = 0; i < 256; ++i) EXPECT_EQ(read_or_fail(*disk, i * 4096u, 4096), blocks[i]);
}

TEST_F(RawBackendTest, ALimitOnTheSizeOfFilesFailsTheRequestOnly) {
  const std::string path = folder.file("sparse.raw");
  write_whole_file(path, {});
  std::filesystem::resize_file(path, 1 << 20);
  auto disk = open_or_fail({.path = path});
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit low{65536, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  EXPECT_EQ(write(*disk, 131072, Bytes(512, 1)), std::make_error_code(std::errc::file_too_large));
  EXPECT_FALSE(write(*disk, 0, Bytes(512, 1)));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(write(*disk, 131072, Bytes(512, 1)));
}

}  // namespace
}  // namespace vireo::backends
