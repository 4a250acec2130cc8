// Room that somebody gives back just now.
#include <fcntl.h>
#include <sys/stat.h>

#include <condition_variable>
#include <thread>

#include "backends/block/qcow2/image.h"
#include "backends/block/qcow2/qemu_tools_test.h"

namespace vireo::backends::qcow2 {
namespace {

/// On a host disk without room for what is larger than a table, of which it writes a half, until
/// something is given back. With `slow` that takes until a write has failed.
class FullFile final : public ImageFile {
 public:
  explicit FullFile(const std::string& path)
      : ImageFile(UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC)), path, false) {}

  std::error_code write(std::uint64_t offset, Iovecs buffers) override {
    {
      const std::lock_guard lock(mutex_);
      if (full && total_length(buffers) > kTable) {
        write_failed_ = true;
        changed_.notify_all();
        EXPECT_FALSE(ImageFile::write(offset, slice(buffers, 0, total_length(buffers) / 2)));
        return std::make_error_code(std::errc::no_space_on_device);
      }
    }
    return ImageFile::write(offset, std::move(buffers));
  }
  std::error_code discard(std::uint64_t offset, std::uint64_t length) override {
    std::unique_lock lock(mutex_);
    gives_back = true;
    changed_.notify_all();
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(20), [this] { return write_failed_; }));
    lock.unlock();
    if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    lock.lock();
    if (slow) full = false;
    return ImageFile::discard(offset, length);
  }
  void wait_until_it_gives_back() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [this] { return gives_back.load(); });
  }

  std::atomic<bool> full = false, slow = false, gives_back = false;

 private:
  static constexpr std::uint64_t kTable = 4096;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool write_failed_ = false;
};

struct Qcow2RoomTest : ::testing::Test {
  void SetUp() override {
    if (!has_qemu_tools()) GTEST_SKIP() << "qemu-img and qemu-io are not installed";
    qemu("qemu-img create -q -f qcow2 -o cluster_size=4096 " + image + " 4M");
    file = std::make_shared<FullFile>(image);
    auto header = read_header(*file);
    ASSERT_TRUE(header) << header.error().message;
    disk = *Image::open(file, *header, nullptr);
  }
  Outcome<> write(std::uint64_t offset) {
    Bytes bytes(16384, 1);
    const iovec buffer{bytes.data(), bytes.size()};
    return disk->write(offset, std::span(&buffer, 1));
  }

  std::uint64_t place() const {
    struct stat info = {};
    EXPECT_EQ(::fstat(file->fd(), &info), 0);
    return static_cast<std::uint64_t>(info.st_blocks) * 512;
  }

  TemporaryFolder folder;
  const std::string image = folder.file("disk.qcow2");
  std::shared_ptr<FullFile> file;
  std::shared_ptr<Image> disk;
};

TEST_F(Qcow2RoomTest, AWriteWaitsForRoomThatIsJustGivenBack) {
  ASSERT_TRUE(write(0));
  ASSERT_TRUE(disk->commit());
  file->full = file->slow = true;
  ASSERT_TRUE(disk->discard(0, 16384));
  std::thread committer([this] { EXPECT_TRUE(disk->commit()); });
  file->wait_until_it_gives_back();
  EXPECT_TRUE(write(1 << 20));
  committer.join();
}

TEST_F(Qcow2RoomTest, AWriteFailsWhereNothingIsGivenBack) {
  ASSERT_TRUE(write(0));
  file->full = true;
  const auto written = write(1 << 20);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error(), std::errc::no_space_on_device);
}

TEST_F(Qcow2RoomTest, AWriteThatFailedTakesNoRoom) {
  ASSERT_TRUE(write(0));
  file->full = true;
  const std::uint64_t before = place();
  ASSERT_FALSE(write(1 << 20));
  EXPECT_TRUE(file->gives_back);
  EXPECT_EQ(place(), before);
}

}  // namespace
}  // namespace vireo::backends::qcow2
