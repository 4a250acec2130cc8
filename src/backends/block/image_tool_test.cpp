// What is made, copied, checked and resized, and that another reader of the formats agrees.
#include "backends/block/image_tool.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "backends/block/qcow2/qemu_tools_test.h"

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kMiB = 1 << 20;

/// Data with zeroes in between, and at the end.
Bytes some_content(std::uint64_t size) {
  Bytes bytes(size);
  for (std::uint64_t at = 0; at < size; ++at) {
    if (at / 100'000 % 3 == 1 && at < size - 200'000)
      bytes[at] = static_cast<std::uint8_t>(at * 7 >> 3 | 1);
  }
  return bytes;
}

struct ImageToolTest : ::testing::Test {
  void SetUp() override {
    if (!has_qemu_tools()) GTEST_SKIP() << "qemu-img and qemu-io are not installed";
  }
  std::size_t files() const {
    const std::filesystem::directory_iterator all(folder.path());
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
  Bytes guest_bytes(const std::string& path) {
    const auto disk = open_or_fail({.path = path, .read_only = true});
    return read_or_fail(*disk, 0, disk->size());
  }
  void convert(const std::string& from, const std::string& to, const std::string& format) {
    std::uint64_t last = 0;
    const auto done = convert_image(from, "", to, format, [&](std::uint64_t at, std::uint64_t all) {
      EXPECT_LE(last, at);
      EXPECT_LE(at, all);
      last = at;
    });
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(last, describe_image(to, format)->disk_bytes);
  }
  /// Adds to the count of a cluster in the first block of them.
  void change_count(const std::string& path, unsigned cluster, int by) {
    Bytes all = read_whole_file(path);
    const auto number = [&](std::size_t at) {
      std::uint64_t result = 0;
      for (std::size_t i = 0; i < 8; ++i) result = result << 8 | all.at(at + i);
      return result;
    };
    const std::uint64_t block = number(number(48));
    all.at(block + 2 * cluster + 1) =
        static_cast<std::uint8_t>(all.at(block + 2 * cluster + 1) + by);
    write_whole_file(path, all);
  }
  nlohmann::json qemu_check(const std::string& path) {
    return nlohmann::json::parse(
        run_command("(qemu-img check --output=json " + path + " 2>/dev/null)").output);
  }

  TemporaryFolder folder;
  const std::string raw = folder.file("disk.raw"), qcow2 = folder.file("disk.qcow2");
  const std::string scratch = folder.file("scratch");
};

TEST_F(ImageToolTest, AnEmptyImageIsOneForOthers) {
  ASSERT_TRUE(create_image_file(qcow2, "qcow2", 10ull << 30));
  expect_clean(qcow2);
  EXPECT_THAT(qemu("qemu-img info " + qcow2), HasSubstr("virtual size: 10 GiB"));
  EXPECT_LT(describe_image(qcow2, "")->host_bytes, kMiB);
  ASSERT_TRUE(create_image_file(raw, "raw", 10ull << 30));
  EXPECT_EQ(std::filesystem::file_size(raw), 10ull << 30);
  EXPECT_EQ(describe_image(raw, "")->host_bytes, 0u);
}

TEST_F(ImageToolTest, WhatIsThereIsNotReplaced) {
  write_whole_file(raw, Bytes(512, 7));
  for (const char* format : {"raw", "qcow2"}) {
    const auto made = create_image_file(raw, format, kMiB);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().blame, Blame::kUsage);
    EXPECT_THAT(made.error().message, HasSubstr("already"));
  }
  ASSERT_TRUE(create_image_file(qcow2, "qcow2", kMiB));
  EXPECT_FALSE(convert_image(qcow2, "", raw, "raw", [](auto, auto) {}));
  EXPECT_EQ(read_whole_file(raw), Bytes(512, 7));
}

TEST_F(ImageToolTest, SizesThatNoDiskHasAreRefused) {
  EXPECT_FALSE(create_image_file(raw, "raw", 0));
  EXPECT_FALSE(create_image_file(raw, "raw", 1000));
  EXPECT_FALSE(create_image_file(raw, "raw", std::uint64_t{1} << 63));
  EXPECT_FALSE(create_image_file(raw, "vdi", kMiB));
  EXPECT_FALSE(create_image_file(qcow2, "qcow2", std::uint64_t{1} << 62));
  EXPECT_EQ(files(), 0u);
}

TEST_F(ImageToolTest, AnImageOverAnotherShowsItAndIsOneForOthers) {
  const Bytes content = some_content(3 * kMiB);
  write_whole_file(raw, content);
  ASSERT_TRUE(create_image_over(qcow2, "disk.raw", "", std::nullopt));
  expect_clean(qcow2);
  EXPECT_EQ(guest_bytes(qcow2), content);
  expect_content(qcow2, content, scratch);
  const auto theirs = nlohmann::json::parse(qemu("qemu-img info --output=json " + qcow2));
  EXPECT_EQ(theirs["backing-filename"], "disk.raw");
  EXPECT_EQ(theirs["full-backing-filename"], raw);
  EXPECT_EQ(theirs["backing-filename-format"], "raw");
  EXPECT_EQ(theirs["virtual-size"], 3 * kMiB);
  qemu("qemu-io -f qcow2 -c 'write -P 9 64k 4k' " + qcow2);
  expect_clean(qcow2);
  EXPECT_EQ(guest_bytes(qcow2)[64 << 10], 9);
  EXPECT_EQ(read_whole_file(raw), content);
}

TEST_F(ImageToolTest, AStackOfImagesIsDescribedFromTheTop) {
  ASSERT_TRUE(std::filesystem::create_directory(folder.file("sub")));
  const std::string middle = folder.file("sub/middle.qcow2");
  write_whole_file(raw, Bytes(1000, 7));  // not whole sectors
  ASSERT_TRUE(create_image_over(middle, "../disk.raw", "raw", std::nullopt));
  ASSERT_TRUE(create_image_over(qcow2, middle, "", 2 * kMiB));
  const auto stack = describe_stack(qcow2, "");
  ASSERT_TRUE(stack);
  EXPECT_EQ(stack->broken, "");
  ASSERT_EQ(stack->images.size(), 3u);
  EXPECT_EQ(stack->images[0].disk_bytes, 2 * kMiB);
  EXPECT_EQ(stack->images[1].path, middle);
  EXPECT_EQ(stack->images[1].disk_bytes, 1024u);
  EXPECT_EQ(stack->images[1].backing_path, "../disk.raw");
  EXPECT_EQ(stack->images[2].format, "raw");
  const auto theirs =
      nlohmann::json::parse(qemu("qemu-img info --backing-chain --output=json " + qcow2));
  ASSERT_EQ(theirs.size(), 3u);
  EXPECT_EQ(theirs[1]["virtual-size"], 1024);
  EXPECT_EQ(guest_bytes(qcow2)[999], 7);
  EXPECT_EQ(guest_bytes(qcow2)[1000], 0);
}

TEST_F(ImageToolTest, AnImageOverNothingIsNotMade) {
  const auto refusal = [&](const std::string& backing, const std::string& format) {
    const auto made = create_image_over(qcow2, backing, format, kMiB);
    EXPECT_FALSE(made) << backing;
    EXPECT_FALSE(std::filesystem::exists(qcow2));
    return made ? "" : made.error().message;
  };
  EXPECT_THAT(refusal("disk.raw", ""), HasSubstr("disk.raw"));
  EXPECT_THAT(refusal("disk.qcow2", ""), HasSubstr("disk.qcow2"));
  EXPECT_THAT(refusal("nbd:host:1", ""), HasSubstr("no path of a file"));
  write_whole_file(raw, Bytes(512, 7));
  EXPECT_THAT(refusal("disk.raw", "vdi"), HasSubstr("vdi"));
  EXPECT_THAT(refusal("disk.raw", "qcow2"), HasSubstr("disk.raw"));
  std::string long_name = "disk.raw";
  while (long_name.size() < 1024) long_name.insert(0, "./");
  EXPECT_THAT(refusal(long_name, ""), HasSubstr("long"));
  EXPECT_EQ(files(), 1u);
}

TEST_F(ImageToolTest, AStackThatEndsNowhereIsDescribedAsFarAsItGoes) {
  const std::string other = folder.file("other.qcow2");
  write_whole_file(raw, Bytes(512, 7));
  ASSERT_TRUE(create_image_over(other, "disk.raw", "", std::nullopt));
  ASSERT_TRUE(create_image_over(qcow2, "other.qcow2", "", std::nullopt));
  std::filesystem::remove(raw);
  EXPECT_THAT(describe_stack(qcow2, "")->broken, HasSubstr(raw));
  EXPECT_EQ(describe_stack(qcow2, "")->images.size(), 2u);
  qemu("qemu-img rebase -u -F qcow2 -b disk.qcow2 " + other);
  EXPECT_THAT(describe_stack(qcow2, "")->broken, HasSubstr("on itself"));
  EXPECT_EQ(describe_stack(qcow2, "")->images.size(), 2u);
  const auto over_a_loop = create_image_over(folder.file("new.qcow2"), "disk.qcow2", "", kMiB);
  ASSERT_FALSE(over_a_loop);
  EXPECT_THAT(over_a_loop.error().message, HasSubstr("on itself"));
}

TEST_F(ImageToolTest, ACopyHasTheSameContentInEitherFormat) {
  const Bytes content = some_content(5 * kMiB + 512);
  write_whole_file(raw, content);
  convert(raw, qcow2, "qcow2");
  expect_clean(qcow2);
  expect_content(qcow2, content, scratch);
  convert(qcow2, folder.file("again.raw"), "raw");
  EXPECT_EQ(read_whole_file(folder.file("again.raw")), content);
  EXPECT_LT(describe_image(qcow2, "")->file_bytes, 4 * kMiB) << "zeroes take no room";
}

TEST_F(ImageToolTest, ACopyHasWhatTheImagesBelowHave) {
  const Bytes content = some_content(3 * kMiB);
  write_whole_file(raw, content);
  const std::string packed = folder.file("packed.qcow2"), top = folder.file("top.qcow2");
  qemu("qemu-img convert -c -f raw -O qcow2 " + raw + " " + packed);
  qemu("qemu-img create -q -f qcow2 -b packed.qcow2 -F qcow2 " + top);
  qemu("qemu-io -c 'write -P 0x55 1M 64k' " + top);
  Bytes expected = content;
  std::fill_n(expected.begin() + kMiB, 65536, std::uint8_t{0x55});
  convert(top, qcow2, "qcow2");
  expect_content(qcow2, expected, scratch);
  EXPECT_FALSE(describe_image(qcow2, "")->backing_path);
}

TEST_F(ImageToolTest, ACopyThatFailsLeavesNothing) {
  const std::string packed = folder.file("packed.qcow2");
  write_whole_file(raw, some_content(3 * kMiB));
  qemu("qemu-img create -q -f qcow2 -b nowhere.raw -F raw -u " + packed + " 1M");
  EXPECT_FALSE(convert_image(packed, "", qcow2, "qcow2", [](auto, auto) {}));
  EXPECT_FALSE(convert_image(raw, "", folder.file("no/such"), "raw", [](auto, auto) {}));
  const std::size_t before = files();
  qemu("qemu-img create -q -f qcow2 " + scratch + " 1M");
  qemu("qemu-io -c 'write 0 64k' " + scratch);
  Bytes bad = read_whole_file(scratch);
  bad.at(3 * 65536 + 6) = 2;  // an L1 entry to no cluster's beginning
  write_whole_file(scratch, bad);
  EXPECT_FALSE(convert_image(scratch, "", qcow2, "qcow2", [](auto, auto) {}));
  EXPECT_EQ(files(), before + 1);
}

TEST_F(ImageToolTest, AnImageInUseIsLeftAlone) {
  ASSERT_TRUE(create_image_file(qcow2, "qcow2", kMiB));
  const auto disk = open_or_fail({.path = qcow2});
  EXPECT_FALSE(describe_image(qcow2, ""));
  EXPECT_FALSE(check_image_file(qcow2, "", false));
  EXPECT_FALSE(resize_image(qcow2, "", 2 * kMiB, false));
  EXPECT_FALSE(convert_image(qcow2, "", raw, "raw", [](auto, auto) {}));
}

TEST_F(ImageToolTest, AnImageSaysWhatItIs) {
  qemu(
      "qemu-img create -q -f qcow2 -b base.raw -F raw -u -o "
      "cluster_size=4096,compression_type=zstd " +
      qcow2 + " 3M");
  const auto info = describe_image(qcow2, "");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->format, "qcow2");
  EXPECT_EQ(info->disk_bytes, 3 * kMiB);
  EXPECT_EQ(info->version, 3u);
  EXPECT_EQ(info->cluster_bytes, 4096u);
  EXPECT_EQ(info->compression, "zstd");
  EXPECT_EQ(info->backing_path, "base.raw");
  EXPECT_EQ(info->backing_format, "raw");
  EXPECT_EQ(describe_image(qcow2, "raw")->format, "raw");
}

TEST_F(ImageToolTest, ChecksFindWhatOthersFind) {
  write_whole_file(raw, some_content(3 * kMiB));
  convert(raw, qcow2, "qcow2");
  const auto clean = check_image_file(qcow2, "", false);
  ASSERT_TRUE(clean) << clean.error().message;
  EXPECT_EQ(clean->findings.leaks + clean->findings.errors, 0u);
  const auto clusters = static_cast<unsigned>(clean->findings.used_clusters);
  EXPECT_EQ(clusters, std::filesystem::file_size(qcow2) / 65536);
  change_count(qcow2, clusters - 1, 1), change_count(qcow2, clusters + 1, 1);
  change_count(qcow2, 0, -1);
  const auto found = check_image_file(qcow2, "", false);
  const auto other = qemu_check(qcow2);
  EXPECT_EQ(found->findings.leaks, other.at("leaks").get<unsigned>());
  EXPECT_EQ(found->findings.errors, other.at("corruptions").get<unsigned>());
  EXPECT_GT(found->findings.leaks, 0u);
  EXPECT_GT(found->findings.errors, 0u);
  const auto mended = check_image_file(qcow2, "", true);
  ASSERT_TRUE(mended) << mended.error().message;
  EXPECT_TRUE(mended->mended);
  EXPECT_EQ(mended->findings.leaks + mended->findings.errors, 0u);
  expect_content(qcow2, read_whole_file(raw), scratch);
  EXPECT_EQ(qemu_check(qcow2).value("corruptions", 0u), 0u);
}

TEST_F(ImageToolTest, TablesThatContradictThemselvesAreSaidToBe) {
  ASSERT_TRUE(create_image_file(qcow2, "qcow2", kMiB));
  Bytes bytes = read_whole_file(qcow2);
  bytes.at(65536 + 6) = 2;  // the first L1 entry
  write_whole_file(qcow2, bytes);
  const auto found = check_image_file(qcow2, "", true);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(found->findings.unreadable);
  EXPECT_FALSE(found->mended);
}

TEST_F(ImageToolTest, AnImageGrowsWithZeroes) {
  const Bytes content = some_content(3 * kMiB);
  write_whole_file(raw, content);
  convert(raw, qcow2, "qcow2");
  // Within the table that it has, and beyond.
  for (const std::uint64_t size : {4 * kMiB, std::uint64_t{600} << 30}) {
    const auto done = resize_image(qcow2, "", size, false);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(describe_image(qcow2, "")->disk_bytes, size);
    EXPECT_FALSE(describe_image(qcow2, "")->dirty);
    const auto check = check_image_file(qcow2, "", false);
    EXPECT_EQ(check->findings.errors, 0u);
    EXPECT_EQ(qemu_check(qcow2).value("corruptions", 0u), 0u);
    const auto disk = open_or_fail({.path = qcow2});
    EXPECT_EQ(read_or_fail(*disk, 0, content.size()), content);
    EXPECT_EQ(read_or_fail(*disk, size - 4096, 4096), Bytes(4096));
    EXPECT_EQ(write(*disk, size - 4096, Bytes(4096, 9)), std::error_code());
    EXPECT_EQ(write(*disk, size - 4096, Bytes(4096)), std::error_code());
  }
  expect_clean(qcow2);
}

TEST_F(ImageToolTest, OnlyRawImagesShrinkAndOnlyIfAsked) {
  write_whole_file(raw, Bytes(2 * kMiB, 7));
  EXPECT_FALSE(resize_image(raw, "", kMiB, false));
  ASSERT_TRUE(resize_image(raw, "", kMiB, true));
  EXPECT_EQ(read_whole_file(raw), Bytes(kMiB, 7));
  ASSERT_TRUE(resize_image(raw, "", 2 * kMiB, false));
  EXPECT_EQ(std::filesystem::file_size(raw), 2 * kMiB);
  ASSERT_TRUE(create_image_file(qcow2, "qcow2", 2 * kMiB));
  EXPECT_FALSE(resize_image(qcow2, "", kMiB, true));
  EXPECT_FALSE(resize_image(qcow2, "", 1000, true));
}

}  // namespace
}  // namespace vireo::backends
