// Random requests to images of every shape, against a model in memory and the tools of another
// implementation.
#include <atomic>
#include <random>

#include "backends/block/qcow2/qemu_tools_test.h"

namespace vireo::backends {
namespace {

struct Shape {
  std::string name;
  std::string options;  ///< for -o
  std::uint64_t size = 2 << 20;
  bool backing = false;     ///< two images below, of different sizes
  bool compressed = false;  ///< full of compressed clusters
  bool snapshot = false;
  unsigned requests = 400;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

class StreamTest : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    if (!has_qemu_tools()) GTEST_SKIP() << "qemu-img and qemu-io are not installed";
    model_.resize(GetParam().size);
    make_image();
    open();
  }

  /// Runs of bytes that compress, with some that do not.
  void fill(std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t at = begin; at < end;) {
      const std::uint64_t run = std::min<std::uint64_t>(end - at, 1 + random_() % 30000);
      const auto byte = static_cast<std::uint8_t>(random_());
      const bool noise = random_() % 4 == 0;
      for (std::uint64_t i = 0; i < run; ++i)
        model_[at + i] = noise ? static_cast<std::uint8_t>(random_()) : byte;
      at += run;
    }
  }

  void make_image() {
    const Shape& shape = GetParam();
    const std::string size = std::to_string(shape.size);
    std::string below;
    if (shape.backing) {
      const std::uint64_t lowest = shape.size / 2 + 512, middle = shape.size - 65536;
      fill(0, lowest);
      write_whole_file(folder_.file("lowest.raw"),
                       Bytes(model_.begin(), model_.begin() + static_cast<std::ptrdiff_t>(lowest)));
      qemu("qemu-img create -q -f qcow2 -F raw -b lowest.raw " + folder_.file("middle.qcow2") +
           " " + std::to_string(middle));
      qemu("qemu-io -f qcow2 -c 'write -q -P 77 100k 200k' -c 'write -q -z 300k 64k' " +
           folder_.file("middle.qcow2"));
      std::fill(model_.begin() + 102400, model_.begin() + 307200, std::uint8_t{77});
      std::fill(model_.begin() + 307200, model_.begin() + 372736, std::uint8_t{0});
      below = " -F qcow2 -b middle.qcow2";
    }
    const std::string options = shape.options.empty() ? "" : " -o " + shape.options;
    if (shape.compressed) {
      fill(0, shape.size);
      write_whole_file(folder_.file("content"), model_);
      qemu("qemu-img convert -c -f raw -O qcow2" + options + " " + folder_.file("content") + " " +
           image_);
    } else {
      qemu("qemu-img create -q -f qcow2" + below + options + " " + image_ + " " + size);
    }
    if (shape.snapshot) {
      qemu("qemu-io -f qcow2 -c 'write -q -P 5 0 300k' -c 'write -q -z 400k 100k' " + image_);
      std::fill(model_.begin(), model_.begin() + 307200, std::uint8_t{5});
      std::fill(model_.begin() + 409600, model_.begin() + 512000, std::uint8_t{0});
      qemu("qemu-img snapshot -c first " + image_);
      write_whole_file(folder_.file("first.raw"), model_);
      qemu("qemu-io -f qcow2 -c 'write -q -P 6 200k 200k' " + image_);
      std::fill(model_.begin() + 204800, model_.begin() + 409600, std::uint8_t{6});
    }
  }

  void open() { disk_ = open_or_fail({.path = image_, .format = "qcow2"}); }

  struct Range {
    std::uint64_t offset, length;
  };
  Range random_range() {
    const std::uint64_t sectors = model_.size() / 512;
    const std::uint64_t most = random_() % 8 == 0 ? 1024 : random_() % 4 == 0 ? 130 : 9;
    const std::uint64_t first = random_() % sectors;
    const std::uint64_t count = std::min(sectors - first, 1 + random_() % most);
    return {first * 512, count * 512};
  }
  std::uint8_t* at(std::uint64_t offset) { return model_.data() + offset; }

  void one_request() {
    const auto [offset, length] = random_range();
    switch (random_() % 10) {
      case 0:
      case 1:
      case 2: {
        Bytes bytes(length, static_cast<std::uint8_t>(random_()));
        bytes[random_() % length] ^= 0xff;
        ASSERT_FALSE(write(*disk_, offset, bytes));
        std::copy(bytes.begin(), bytes.end(), at(offset));
        break;
      }
      case 3:
        ASSERT_FALSE(write_zeroes(*disk_, offset, length, random_() % 2 == 0));
        std::fill_n(at(offset), length, std::uint8_t{0});
        break;
      case 4: {
        ASSERT_FALSE(discard(*disk_, offset, length));
        const Bytes now = read_or_fail(*disk_, offset, length);
        for (std::uint64_t i = 0; i < length; ++i)
          ASSERT_TRUE(now[i] == 0 || now[i] == at(offset)[i]) << "at " << offset + i;
        std::copy(now.begin(), now.end(), at(offset));
        break;
      }
      case 5:
        if (random_() % 4 == 0) ASSERT_FALSE(flush(*disk_));
        break;
      case 6:
        many_at_a_time();
        break;
      default:
        ASSERT_EQ(read_or_fail(*disk_, offset, length), Bytes(at(offset), at(offset) + length))
            << offset << " " << length;
    }
  }

  /// Small writes side by side, many of them to the same clusters.
  void many_at_a_time() {
    constexpr std::uint64_t kLength = 512;
    const std::uint64_t count = std::min<std::uint64_t>(48, model_.size() / kLength / 4);
    const std::uint64_t step = kLength * (1 + random_() % 4);
    const std::uint64_t begin = random_() % (model_.size() / 512 - count * step / 512) * 512;
    std::vector<Bytes> blocks;
    for (std::uint64_t i = 0; i < count; ++i)
      blocks.emplace_back(kLength, static_cast<std::uint8_t>(random_()));
    std::atomic<unsigned> failed = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const iovec buffer{blocks[i].data(), kLength};
      disk_->submit({.operation = BlockOperation::kWrite,
                     .offset = begin + i * step,
                     .length = kLength,
                     .buffers = {&buffer, 1},
                     .done = [&](std::error_code error) { failed += error ? 1 : 0; }});
      if (i % 16 == 7)
        disk_->submit({.operation = BlockOperation::kFlush,
                       .done = [&](std::error_code error) { failed += error ? 1 : 0; }});
      std::copy(blocks[i].begin(), blocks[i].end(), at(begin + i * step));
    }
    disk_->drain();
    ASSERT_EQ(failed, 0u);
  }

  void check_all() {
    disk_.reset();
    expect_clean(image_);
    expect_content(image_, model_, folder_.file("model"));
    if (!GetParam().snapshot) return;
    const std::string copy = folder_.file("copy.qcow2");
    qemu("cp " + image_ + " " + copy);
    qemu("qemu-img snapshot -a first " + copy);
    qemu("qemu-img compare -f raw -F qcow2 " + folder_.file("first.raw") + " " + copy);
  }

  std::mt19937_64 random_{7};
  TemporaryFolder folder_;
  const std::string image_ = folder_.file("disk.qcow2");
  Bytes model_;
  std::unique_ptr<BlockBackend> disk_;
};

TEST_P(StreamTest, LeavesAnImageThatOthersReadAlike) {
  for (unsigned round = 0; round < 4 && !HasFailure(); ++round) {
    for (unsigned i = 0; i < GetParam().requests && !HasFailure(); ++i) one_request();
    ASSERT_EQ(read_or_fail(*disk_, 0, model_.size()), model_);
    check_all();
    open();
  }
}

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (unsigned bits = 9; bits <= 21; ++bits) {
    const std::string cluster = "cluster_size=" + std::to_string(1u << bits);
    all.push_back({"cluster" + std::to_string(bits), cluster, bits > 16 ? 40u << 20 : 3u << 20});
  }
  for (const int width : {1, 2, 4, 8, 16, 32, 64}) {
    const std::string options = "cluster_size=512,refcount_bits=" + std::to_string(width);
    all.push_back({"refcount" + std::to_string(width), options});
    if (width > 1)
      all.push_back(
          {"snapshot_refcount" + std::to_string(width), options, 2 << 20, false, false, true});
  }
  all.push_back({"version2", "compat=0.10,cluster_size=4096"});
  all.push_back({"version2_backing", "compat=0.10,cluster_size=4096", 2 << 20, true});
  all.push_back(
      {"version2_snapshot", "compat=0.10,cluster_size=1024", 2 << 20, false, false, true});
  all.push_back({"backing512", "cluster_size=512", 2 << 20, true});
  all.push_back({"backing64k", "", 8 << 20, true});
  all.push_back({"backing_snapshot", "cluster_size=4096", 2 << 20, true, false, true});
  for (const char* type : {"zlib", "zstd"})
    for (const char* cluster : {"512", "4096", "65536", "2097152"}) {
      const std::string options =
          std::string("compression_type=") + type + ",cluster_size=" + cluster;
      all.push_back({std::string(type) + cluster, options, 8u << 20, false, true});
    }
  all.push_back({"zlib_snapshot", "cluster_size=4096", 4 << 20, false, true, true});
  all.push_back({"lazy", "lazy_refcounts=on", 4 << 20});
  all.push_back({"preallocated", "preallocation=metadata,cluster_size=4096", 4 << 20});
  all.push_back({"odd_end", "", (4 << 20) + 512 * 3});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Qcow2, StreamTest, ::testing::ValuesIn(shapes()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vireo::backends
