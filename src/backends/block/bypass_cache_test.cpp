// Images past the host's page cache: the same bytes, wherever they come from in memory.
#include <fcntl.h>
#include <gmock/gmock.h>

#include <cstring>
#include <numeric>

#include "backends/block/qcow2/qemu_tools_test.h"

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kMiB = 1 << 20;

Bytes pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>((i * 31 + seed) >> 2);
  return bytes;
}

/// Flags of the open file with this name; 0 if there is none.
int flags_of(const std::string& path) {
  int flags = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry, gone) != path) continue;
    flags |= ::fcntl(std::stoi(entry.path().filename().string()), F_GETFL);
  }
  return flags;
}

/// On a disk, if the folder for tests is on one: not all hosts can do this in memory.
struct BypassCacheTest : ::testing::TestWithParam<const char*> {
  BypassCacheTest() {
    std::string name = ::testing::TempDir() + "/vireo-bypass-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder = std::filesystem::canonical(name).string();
    image = folder + "/disk";
  }
  ~BypassCacheTest() override { std::filesystem::remove_all(folder); }

  void SetUp() override {
    if (!has_qemu_tools()) GTEST_SKIP() << "qemu-img and qemu-io are not installed";
    make(4 * kMiB + 512);
    const auto opened = open_block_backend({.path = image, .bypass_cache = true});
    if (!opened) GTEST_SKIP() << opened.error().message;
  }
  bool is_raw() const { return std::strcmp(GetParam(), "raw") == 0; }
  void make(std::uint64_t size) {
    qemu("qemu-img create -q -f " + std::string(GetParam()) + " " + image + " " +
         std::to_string(size));
  }
  std::unique_ptr<BlockBackend> open() {
    return open_or_fail({.path = image, .format = GetParam(), .bypass_cache = true});
  }
  /// The first multiple of a page.
  static std::uint8_t* aligned(Bytes& memory) {
    return memory.data() + 4096 - reinterpret_cast<std::uintptr_t>(memory.data()) % 4096;
  }
  /// Writes the bytes from `place`, where the buffers lie, and reads them back to it.
  static void expect_back(BlockBackend& disk, std::uint64_t offset, const Bytes& bytes,
                          std::uint8_t* place, std::span<const iovec> written,
                          std::span<const iovec> read) {
    std::ranges::copy(bytes, place);
    ASSERT_EQ(carry_out(disk, {.operation = BlockOperation::kWrite,
                               .offset = offset,
                               .length = bytes.size(),
                               .buffers = written}),
              std::error_code());
    std::fill_n(place, bytes.size(), std::uint8_t{0xee});
    ASSERT_EQ(carry_out(disk, {.operation = BlockOperation::kRead,
                               .offset = offset,
                               .length = bytes.size(),
                               .buffers = read}),
              std::error_code());
    ASSERT_EQ(std::memcmp(place, bytes.data(), bytes.size()), 0);
  }
  std::string folder, image;
};

INSTANTIATE_TEST_SUITE_P(Formats, BypassCacheTest, ::testing::Values("raw", "qcow2"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(BypassCacheTest, TheHostIsAskedForIt) {
  const auto disk = open();
  EXPECT_NE(flags_of(image) & O_DIRECT, 0);
}

TEST_P(BypassCacheTest, BytesComeBackWhateverTheirPlaceInMemory) {
  const auto disk = open();
  Bytes expected(disk->size()), memory(kMiB + 8192);
  unsigned seed = 0;
  for (const std::size_t shift :
       {std::size_t{0}, std::size_t{512}, std::size_t{1}, std::size_t{300}})
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{512}, 3 * kMiB - 1536})
      for (const std::size_t size :
           {std::size_t{512}, std::size_t{4096}, std::size_t{70'144}, kMiB}) {
        const Bytes bytes = pattern(size, ++seed);
        std::uint8_t* const place = aligned(memory) + shift;
        std::ranges::copy(bytes, expected.begin() + static_cast<std::ptrdiff_t>(offset));
        // In three pieces, of which none needs to be of whole sectors.
        const std::size_t third = size / 3;
        const std::array<iovec, 3> pieces{
            {{place, third}, {place + third, third}, {place + 2 * third, size - 2 * third}}};
        const iovec whole{place, size};
        SCOPED_TRACE(testing::Message() << offset << " " << size << " " << shift);
        ASSERT_NO_FATAL_FAILURE(expect_back(*disk, offset, bytes, place, pieces, {&whole, 1}));
      }
  EXPECT_EQ(flush(*disk), std::error_code());
  EXPECT_EQ(read_or_fail(*disk, 0, disk->size()), expected);
}

/// Plainly or by a buffer: each is tried before the faster one is known.
TEST_P(BypassCacheTest, MuchComesBackWhicheverWayItGoes) {
  const auto disk = open();
  Bytes memory(3 * kMiB + 4096);
  std::uint8_t* const place = aligned(memory);
  unsigned seed = 0;
  for (const std::size_t size : {std::size_t{64 << 10}, std::size_t{160'256}, 2 * kMiB + 1024})
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t offset = static_cast<std::uint64_t>(i) * 512;
      const Bytes bytes = pattern(size, ++seed);
      const std::array<iovec, 2> pieces{{{place, 4096}, {place + 4096, size - 4096}}};
      SCOPED_TRACE(testing::Message() << offset << " " << size);
      ASSERT_NO_FATAL_FAILURE(expect_back(*disk, offset, bytes, place, pieces, pieces));
    }
}

TEST_P(BypassCacheTest, WhatWasWrittenIsThereForOthers) {
  const Bytes bytes = pattern(kMiB, 1);
  {
    const auto disk = open();
    ASSERT_EQ(write(*disk, kMiB / 2, bytes), std::error_code());
    ASSERT_EQ(discard(*disk, kMiB, 64 << 10), std::error_code());
    ASSERT_EQ(write_zeroes(*disk, kMiB + (64 << 10), 4096, false), std::error_code());
    ASSERT_EQ(flush(*disk), std::error_code());
  }
  Bytes expected(4 * kMiB + 512);
  std::ranges::copy(bytes, expected.begin() + kMiB / 2);
  std::fill_n(expected.begin() + kMiB, 68 << 10, std::uint8_t{0});
  if (is_raw()) {
    EXPECT_EQ(read_whole_file(image), expected);
  } else {
    expect_clean(image);
    expect_content(image, expected, folder + "/scratch");
  }
}

TEST_P(BypassCacheTest, TheEndOfAFileThatIsNoWholeSectorReadsAsZeroes) {
  const Bytes content = pattern(70'000, 3);
  write_whole_file(folder + "/below", content);
  std::filesystem::remove(image);
  qemu("qemu-img create -q -f qcow2 -b below -F raw " + image + " 1M");
  const auto disk = open_or_fail({.path = image, .format = "qcow2", .bypass_cache = true});
  Bytes expected = content;
  expected.resize(128 << 10);
  EXPECT_EQ(read_or_fail(*disk, 0, expected.size()), expected);
}

TEST_P(BypassCacheTest, ImagesBelowAreReadTheSameWay) {
  const std::string top = folder + "/top";
  {
    const auto disk = open();
    ASSERT_EQ(write(*disk, 0, pattern(kMiB, 5)), std::error_code());
    ASSERT_EQ(flush(*disk), std::error_code());
  }
  qemu("qemu-img create -q -f qcow2 -b disk -F " + std::string(GetParam()) + " " + top);
  const auto disk = open_or_fail({.path = top, .bypass_cache = true});
  EXPECT_NE(flags_of(image) & O_DIRECT, 0);
  EXPECT_EQ(read_or_fail(*disk, 0, kMiB), pattern(kMiB, 5));
}

TEST(BypassCacheRefusalTest, AFileSystemThatCannotDoItIsAHostErrorThatSaysWhatToDo) {
  const auto opened = open_block_backend(
      {.path = "/proc/version", .format = "raw", .read_only = true, .bypass_cache = true});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().blame, Blame::kHost);
  EXPECT_THAT(opened.error().message, HasSubstr("cache=none"));
}

}  // namespace
}  // namespace vireo::backends
