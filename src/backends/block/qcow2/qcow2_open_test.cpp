// What is opened and what is refused, and how that is said.
#include <gmock/gmock.h>

#include "backends/block/qcow2/qemu_tools_test.h"

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

struct Qcow2OpenTest : ::testing::Test {
  void SetUp() override {
    if (!has_qemu_tools()) GTEST_SKIP() << "qemu-img and qemu-io are not installed";
  }
  void create(const std::string& arguments, const std::string& size = "1M") {
    qemu("qemu-img create -q -f qcow2 " + arguments + " " + image + " " + size);
  }
  void patch(std::size_t offset, const Bytes& bytes) {
    Bytes all = read_whole_file(image);
    std::copy(bytes.begin(), bytes.end(), all.begin() + static_cast<std::ptrdiff_t>(offset));
    write_whole_file(image, all);
  }
  std::uint64_t number_at(std::size_t offset) {
    const Bytes all = read_whole_file(image);
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < 8; ++i) number = number << 8 | all.at(offset + i);
    return number;
  }
  std::uint8_t byte(std::size_t offset) { return read_whole_file(image).at(offset); }

  TemporaryFolder folder;
  const std::string image = folder.file("disk.qcow2");
};

TEST_F(Qcow2OpenTest, TellsTheFormatByContent) {
  create("-o cluster_size=4096");
  auto disk = open_or_fail({.path = image});
  EXPECT_EQ(disk->name(), "qcow2 image " + image);
  EXPECT_EQ(disk->size(), 1u << 20);
  EXPECT_EQ(disk->preferred_block(), 4096u);
  disk.reset();
  std::filesystem::resize_file(image, 65536);
  auto raw = open_or_fail({.path = image, .format = "raw"});
  EXPECT_LT(raw->size(), 1u << 20);
  raw.reset();
  write_whole_file(image, Bytes(4096, 1));
  EXPECT_THAT(refusal({.path = image, .format = "qcow2"}), HasSubstr("is no qcow2 image"));
}

TEST_F(Qcow2OpenTest, RefusesWhatItCannotDoByName) {
  create("-o extended_l2=on,cluster_size=64k");
  EXPECT_THAT(refusal({.path = image}), HasSubstr("has subclusters"));
  create("-o data_file=" + folder.file("data"));
  EXPECT_THAT(refusal({.path = image}), HasSubstr("keeps its data in another file"));
  create("");
  patch(35, {2});
  EXPECT_THAT(refusal({.path = image}), HasSubstr("is encrypted"));
  create("");
  patch(72, {0x80});
  EXPECT_THAT(refusal({.path = image}),
              HasSubstr("needs a feature that is not offered: number 63"));
  create("");
  patch(7, {4});
  EXPECT_THAT(refusal({.path = image}), HasSubstr("is of version 4"));
}

TEST_F(Qcow2OpenTest, NamesAFeatureAsTheImageDoes) {
  create("");
  // The name of the dirty bit in the table of names becomes that of a bit that nobody knows.
  const Bytes all = read_whole_file(image);
  const std::string text = "dirty bit";
  const auto found = std::search(all.begin(), all.end(), text.begin(), text.end());
  ASSERT_NE(found, all.end());
  const auto at = static_cast<std::size_t>(found - all.begin());
  patch(at - 1, {40});
  patch(at, {'t', 'i', 'm', 'e', 27, 'm', 'a', 'c', 'h', 'i', 'n', 'e'});
  patch(74, {1});
  EXPECT_THAT(refusal({.path = image}), HasSubstr("is not offered: time?machine"));
}

TEST_F(Qcow2OpenTest, RefusesTablesThatCannotBe) {
  const auto with = [&](std::size_t offset, const Bytes& bytes) {
    create("");
    patch(offset, bytes);
    return refusal({.path = image});
  };
  EXPECT_THAT(with(20, {0, 0, 0, 8}), HasSubstr("clusters of a size that is not offered"));
  EXPECT_THAT(with(20, {0, 0, 0, 32}), HasSubstr("clusters of a size that is not offered"));
  EXPECT_THAT(with(31, {1}), HasSubstr("no possible size"));
  EXPECT_THAT(with(24, {0, 1}), HasSubstr("L1 table is too small"));
  EXPECT_THAT(with(36, {0, 0, 0, 0}), HasSubstr("L1 table is too small"));
  EXPECT_THAT(with(36, {0xff}), HasSubstr("L1 table cannot be there"));
  EXPECT_THAT(with(47, {1}), HasSubstr("L1 table cannot be there"));
  EXPECT_THAT(with(48, {0xff}), HasSubstr("refcount table cannot be there"));
  EXPECT_THAT(with(56, {0, 0, 0, 0}), HasSubstr("refcount table cannot be there"));
  EXPECT_THAT(with(56, {1}), HasSubstr("refcount table cannot be there"));
  EXPECT_THAT(with(60, {1}), HasSubstr("snapshot table cannot be there"));
  EXPECT_THAT(with(99, {7}), HasSubstr("refcounts have no width"));
  EXPECT_THAT(with(100, {0, 0, 0, 9}), HasSubstr("header has no length"));
  EXPECT_THAT(with(104, {1}), HasSubstr("compression type is unclear"));
}

TEST_F(Qcow2OpenTest, AnImageThatWasCutOffHarmsNobody) {
  create("-o cluster_size=4096");
  qemu("qemu-io -f qcow2 -c 'write -q -P 7 0 1M' " + image);
  const Bytes whole = read_whole_file(image);
  for (std::size_t size = whole.size(); size > 0; size -= std::min<std::size_t>(size, 40000)) {
    write_whole_file(image,
                     Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    auto disk = open_block_backend({.path = image, .format = "qcow2"});
    if (!disk) {
      EXPECT_THAT(disk.error().message, HasSubstr(image)) << size;
      continue;
    }
    Bytes bytes(1 << 20, 0xcc);
    if (!read(**disk, 0, bytes)) {
      for (const auto byte : bytes) ASSERT_TRUE(byte == 7 || byte == 0) << size;
    }
    if (!write(**disk, 512 << 10, Bytes(4096, 9)) && !flush(**disk))
      EXPECT_EQ(read_or_fail(**disk, 512 << 10, 4096), Bytes(4096, 9)) << size;
  }
}

TEST_F(Qcow2OpenTest, ACorruptImageIsReadOnly) {
  create("");
  patch(79, {2});
  EXPECT_THAT(refusal({.path = image}), HasSubstr("marked as corrupt"));
  EXPECT_EQ(refusal({.path = image, .read_only = true}), "");
}

TEST_F(Qcow2OpenTest, ClearsWhatItDoesNotKeepUpButOnlyToWrite) {
  create("");
  patch(88, {1});
  open_or_fail({.path = image, .read_only = true});
  EXPECT_EQ(byte(88), 1);
  open_or_fail({.path = image});
  EXPECT_EQ(byte(88), 0);
  expect_clean(image);
}

TEST_F(Qcow2OpenTest, RepairsAnImageThatWasNotClosed) {
  for (const char* options : {"cluster_size=512,refcount_bits=8", "cluster_size=64k"}) {
    create("-o lazy_refcounts=on," + std::string(options), "4M");
    qemu("qemu-io -f qcow2 -c 'write -q -P 1 0 1M' " + image);
    qemu("qemu-img snapshot -c first " + image);
    run_command(
        "qemu-io -f qcow2 -c 'write -q -P 2 500k 2M' -c 'write -q -z 3M 64k' -c flush -c abort " +
        image);
    ASSERT_EQ(byte(79), 1) << "dirty";
    patch(number_at(number_at(48)), Bytes(512));  // the counts may not have been written at all
    ASSERT_NE(run_command("qemu-img check -f qcow2 " + image).status, 0);
    open_or_fail({.path = image, .read_only = true});
    ASSERT_EQ(byte(79), 1) << "a reader repairs nothing";
    auto disk = open_or_fail({.path = image});
    Bytes expected(4 << 20);
    std::fill_n(expected.begin(), 1 << 20, std::uint8_t{1});
    std::fill_n(expected.begin() + 512000, 2 << 20, std::uint8_t{2});
    EXPECT_EQ(read_or_fail(*disk, 0, 4 << 20), expected);
    EXPECT_FALSE(write(*disk, 700000 / 512 * 512, Bytes(512, 3)));
    std::fill_n(expected.begin() + 700000 / 512 * 512, 512, std::uint8_t{3});
    disk.reset();
    EXPECT_EQ(byte(79), 0);
    expect_clean(image);
    expect_content(image, expected, folder.file("model"));
  }
}

TEST_F(Qcow2OpenTest, FollowsBackingFilesFromTheFolderOfTheImage) {
  std::filesystem::create_directory(folder.file("sub"));
  write_whole_file(folder.file("base.raw"), Bytes(8192, 7));
  qemu("cd " + folder.path() +
       " && qemu-img create -q -f qcow2 -F raw -b ../base.raw sub/a.qcow2 1M && " +
       "qemu-img create -q -f qcow2 -F qcow2 -b sub/a.qcow2 disk.qcow2 2M");
  auto disk = open_or_fail({.path = image});
  EXPECT_EQ(disk->preferred_block(), 65536u);
  Bytes expected(2 << 20);
  std::fill_n(expected.begin(), 8192, std::uint8_t{7});
  EXPECT_EQ(read_or_fail(*disk, 0, 2 << 20), expected);
  EXPECT_THAT(refusal({.path = folder.file("base.raw")}), HasSubstr("in use"));
  EXPECT_EQ(refusal({.path = folder.file("base.raw"), .read_only = true}), "");
}

TEST_F(Qcow2OpenTest, RefusesBackingFilesThatCannotBe) {
  const auto below = [&](const std::string& name, const std::string& format) {
    create("-u -F " + format + " -b '" + name + "'");
    return refusal({.path = image});
  };
  EXPECT_THAT(below("disk.qcow2", "qcow2"), HasSubstr("stands on itself"));
  EXPECT_THAT(below("none.raw", "raw"), HasSubstr("No such file"));
  EXPECT_THAT(below("nbd://host/disk", "raw"), HasSubstr("is no path of a file"));
  EXPECT_THAT(below("json:{}", "raw"), HasSubstr("is no path of a file"));
  write_whole_file(folder.file("base"), Bytes(4096, 7));
  EXPECT_THAT(below("base", "qcow2"), HasSubstr("is no qcow2 image"));
  EXPECT_EQ(below("file:base", "raw"), "");
  EXPECT_THAT(below("base", "vmdk"), HasSubstr("'vmdk' is unknown"));
}

TEST_F(Qcow2OpenTest, RefusesAChainWithoutEnd) {
  const auto name = [](int number) { return fmt::format("{:02}.qcow2", number); };
  create("-u -F qcow2 -b " + name(0));
  const Bytes content = read_whole_file(image);
  const std::string mark = name(0);
  const auto at = std::search(content.begin(), content.end(), mark.begin(), mark.end());
  ASSERT_NE(at, content.end());
  qemu("qemu-img create -q -f qcow2 " + folder.file(name(0)) + " 1M");
  for (int i = 1; i <= 70; ++i) {
    Bytes next = content;
    const std::string below = name(i - 1);
    std::copy(below.begin(), below.end(), next.begin() + (at - content.begin()));
    write_whole_file(folder.file(name(i)), next);
  }
  EXPECT_THAT(refusal({.path = folder.file(name(70))}), HasSubstr("stands on more than 64 others"));
  EXPECT_EQ(refusal({.path = folder.file(name(50))}), "");
}

TEST_F(Qcow2OpenTest, KeepsTheOtherToolsOut) {
  create("");
  auto disk = open_or_fail({.path = image});
  EXPECT_THAT(run_command("qemu-io -f qcow2 -c 'write 0 512' " + image).output, HasSubstr("lock"));
  EXPECT_THAT(run_command("qemu-io -r -f qcow2 -c 'read 0 512' " + image).output,
              HasSubstr("lock"));
  disk = nullptr;
  disk = open_or_fail({.path = image, .read_only = true});
  EXPECT_THAT(run_command("qemu-io -f qcow2 -c 'write 0 512' " + image).output, HasSubstr("lock"));
  EXPECT_THAT(run_command("qemu-io -r -f qcow2 -c 'read 0 512' " + image).output,
              HasSubstr("read 512"));
}

}  // namespace
}  // namespace vireo::backends
