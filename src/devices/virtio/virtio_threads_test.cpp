// A driver, the I/O thread and the threads of a disk at once, as in a machine: nothing is lost and
// nobody waits for ever. Says most under the thread sanitizer.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "base/event_loop.h"
#include "devices/virtio/fake_disk.h"
#include "devices/virtio/pci_driver_world.h"
#include "devices/virtio/virtio_block.h"
#include "devices/virtio/virtio_block_layout.h"
#include "support/fake_clock.h"

namespace vireo::devices::virtio {
namespace {

/// Does requests on two threads of its own.
class ThreadedDisk final : public backends::BlockBackend {
 public:
  ThreadedDisk() {
    for (auto& thread : threads_) thread = std::thread([this] { work(); });
  }
  ~ThreadedDisk() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  std::uint64_t size() const override { return 1 << 20; }
  bool read_only() const override { return false; }
  std::string name() const override { return "threaded disk"; }
  void submit(backends::BlockRequest request) override {
    const std::lock_guard lock(mutex_);
    std::vector<iovec> pieces(request.buffers.begin(), request.buffers.end());
    waiting_.emplace_back(std::move(request), std::move(pieces));
    changed_.notify_one();
  }
  void drain() override {}

 private:
  /// Fills what is read with the number of the sector.
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const auto [request, pieces] = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      for (const iovec& piece : pieces)
        std::memset(piece.iov_base, static_cast<int>(request.offset / 512 % 251), piece.iov_len);
      request.done({});
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<backends::BlockRequest, std::vector<iovec>>> waiting_;
  bool stopping_ = false;
  std::array<std::thread, 2> threads_;
};

struct VirtioThreadsTest : ::testing::TestWithParam<bool> {
  static constexpr std::uint16_t kSize = 32;
  static constexpr std::uint64_t kRequests = 0x20000, kStride = 0x400;

  VirtioThreadsTest() : loop(std::move(*EventLoop::create(clock))) {
    driver.post = [this](std::function<void()> task) { loop->post(std::move(task)); };
    io = std::thread([this] { loop->run(); });
    if (GetParam())
      ring = std::make_unique<PackedDriver>(world, kSize, 0x10000);
    else
      ring = std::make_unique<SplitDriver>(world, kSize, 0x10000);
  }
  ~VirtioThreadsTest() override {
    loop->stop();
    io.join();
  }
  void start(bool event_index) {
    driver.enable_msix();
    std::uint64_t features = driver.offered() & ~feature::kPacked & ~feature::kEventIndex;
    if (GetParam()) features |= feature::kPacked;
    if (event_index) features |= feature::kEventIndex;
    ASSERT_TRUE(driver.negotiate(features));
    driver.set_up_queue(0, ring->set_up(), 1);
    driver.go();
  }
  /// Slot `place` asks for a sector.
  void offer(unsigned place, std::uint64_t sector) {
    const std::uint64_t at = kRequests + place * kStride;
    world.put(at, block::Header{block::kIn, 0, sector});
    const auto id = ring->offer({{at, 16}, {at + 0x100, 512, true}, {at + 0x380, 1, true}});
    places[id] = {place, sector};
    driver.notify(0);
  }

  DriverMemory world;
  ThreadedDisk disk;
  VirtioBlock model{disk, *world.memory, {}};
  Messages messages;
  test::FakeClock clock;
  std::unique_ptr<EventLoop> loop;
  PciDriver driver{model, *world.memory, &messages};
  std::unique_ptr<RingDriver> ring;
  std::thread io;
  std::map<std::uint32_t, std::pair<unsigned, std::uint64_t>> places;
};

INSTANTIATE_TEST_SUITE_P(Layouts, VirtioThreadsTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Packed" : "Split"; });

TEST_P(VirtioThreadsTest, EveryRequestComesBackWithItsData) {
  start(false);
  std::uint64_t seen = 0;
  for (unsigned round = 0; round < 300; ++round) {
    for (unsigned i = 0; i < 8; ++i) offer(i, round + i);
    for (unsigned done = 0; done < 8;) {
      const auto used = ring->take_used();
      if (!used) {
        ASSERT_TRUE(messages.wait(seen)) << "an interrupt was lost in round " << round;
        continue;
      }
      ++done;
      const auto [place, sector] = places.at(used->id);
      const std::uint64_t at = kRequests + place * kStride;
      ASSERT_EQ(used->length, 513u);
      ASSERT_EQ(world.get<std::uint8_t>(at + 0x380), block::kOk);
      ASSERT_EQ(world.get<std::uint8_t>(at + 0x100 + 511), sector % 251);
    }
  }
}

TEST_P(VirtioThreadsTest, ResetsInTheMidstOfItEndAllRequests) {
  for (unsigned round = 0; round < 50; ++round) {
    if (GetParam())
      ring = std::make_unique<PackedDriver>(world, kSize, 0x10000);
    else
      ring = std::make_unique<SplitDriver>(world, kSize, 0x10000);
    for (std::uint64_t at = 0x10000; at < 0x13000; at += 8) world.put(at, std::uint64_t{0});
    start(round % 2 == 1);
    for (unsigned i = 0; i < 8; ++i) offer(i, i);
    driver.set_common<std::uint8_t>(20, 0);
    EXPECT_EQ(driver.common<std::uint8_t>(20), 0u);
    // From here on the memory is the driver's.
    for (unsigned i = 0; i < 8; ++i) world.put(kRequests + i * kStride + 0x100, std::uint64_t{0});
    std::this_thread::yield();
    for (unsigned i = 0; i < 8; ++i)
      EXPECT_EQ(world.get<std::uint64_t>(kRequests + i * kStride + 0x100), 0u);
  }
}

}  // namespace
}  // namespace vireo::devices::virtio
