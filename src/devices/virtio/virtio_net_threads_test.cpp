// A driver, the I/O thread and the thread of a network at once, as in a machine: nothing is lost,
// nothing changes its order and nobody waits for ever, however little room there is. Says most
// under the thread sanitizer.
#include <gtest/gtest.h>

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "base/event_loop.h"
#include "devices/virtio/pci_driver_world.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_net_layout.h"
#include "support/fake_clock.h"

namespace vireo::devices::virtio {
namespace {

/// Gives every frame back, on a thread of its own, and has room for three.
class Echo final : public backends::NetworkBackend {
 public:
  using Frame = std::vector<std::byte>;

  ~Echo() override { stop(); }
  std::string name() const override { return "echo"; }
  backends::TakenFrames takes() const override { return backends::TakenFrames::kUnfinished; }
  void start(backends::NetworkReader& reader) override {
    reader_ = &reader;
    thread_ = std::thread([this] { work(); });
  }
  void stop() override {
    if (!thread_.joinable()) return;
    set(stopping_);
    thread_.join();
  }
  bool send(const backends::FrameHeader&, std::span<const std::byte> frame) override {
    const std::lock_guard lock(mutex_);
    if (frames_.size() >= 3) {
      refused_ = true;
      return false;
    }
    frames_.emplace_back(frame.begin(), frame.end());
    changed_.notify_all();
    return true;
  }
  void resume() override { set(resumed_); }

 private:
  void set(bool& what) {
    const std::lock_guard lock(mutex_);
    what = true;
    changed_.notify_all();
  }
  void work() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      changed_.wait(lock, [this] { return stopping_ || !frames_.empty(); });
      if (stopping_) return;
      const Frame frame = std::move(frames_.front());
      frames_.pop_front();
      const bool refused = std::exchange(refused_, false);
      lock.unlock();
      if (refused) reader_->on_writable();
      while (!reader_->receive({}, frame)) {
        lock.lock();
        changed_.wait(lock, [this] { return stopping_ || resumed_; });
        resumed_ = false;
        if (stopping_) return;
        lock.unlock();
      }
      lock.lock();
    }
  }
  backends::NetworkReader* reader_ = nullptr;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> frames_;
  bool refused_ = false, resumed_ = false, stopping_ = false;
};

/// Does something while it is sent to, on another thread.
class Interrupted final : public backends::NetworkBackend {
 public:
  std::string name() const override { return "interrupted"; }
  backends::TakenFrames takes() const override { return backends::TakenFrames::kUnfinished; }
  void start(backends::NetworkReader& with) override { reader = &with; }
  void stop() override {}
  bool send(const backends::FrameHeader&, std::span<const std::byte>) override {
    std::thread(meanwhile).join();
    return true;
  }
  void resume() override { ++resumed; }

  backends::NetworkReader* reader = nullptr;
  std::function<void()> meanwhile = [] {};
  unsigned resumed = 0;
};

TEST(VirtioNetAtOnceTest, WhileAQueueIsServedWhoNotifiesLeavesItsOwnToTheIoThread) {
  DriverMemory world;
  Interrupted network;
  VirtioNet model{network, *world.memory, {2, 2, 2, 2, 2, 2}};
  PciDriver driver{model, *world.memory};
  SplitDriver receive{world, 16, 0x10000}, transmit{world, 16, 0x14000};
  ASSERT_TRUE(driver.negotiate(feature::kVersion1));
  driver.set_up_queue(0, receive.set_up(), 1);
  driver.set_up_queue(1, transmit.set_up(), 2);
  driver.go();
  driver.run_posted();
  std::array<std::byte, 60> frame;
  frame.fill(std::byte{0xff});
  EXPECT_FALSE(network.reader->receive({}, frame)) << "there are no buffers";
  network.meanwhile = [&] {
    receive.offer({{0x20000, 100, true}});
    driver.notify(0);
  };
  transmit.offer({{0x30000, 12 + 60}});
  driver.notify(1);
  EXPECT_EQ(network.resumed, 0u);
  EXPECT_EQ(driver.posted.size(), 1u);
  driver.run_posted();
  EXPECT_EQ(network.resumed, 1u);
}

struct VirtioNetThreadsTest : ::testing::TestWithParam<bool> {
  static constexpr std::uint16_t kSize = 16;
  static constexpr std::uint64_t kSent = 0x20000, kReceived = 0x30000, kStride = 0x400;

  VirtioNetThreadsTest() : loop(std::move(*EventLoop::create(clock))) {
    driver.post = [this](std::function<void()> task) { loop->post(std::move(task)); };
    io = std::thread([this] { loop->run(); });
  }
  ~VirtioNetThreadsTest() override {
    loop->stop();
    io.join();
  }
  std::unique_ptr<RingDriver> ring(std::uint64_t base) {
    for (std::uint64_t at = base; at < base + 0x3000; at += 8) world.put(at, std::uint64_t{0});
    if (GetParam()) return std::make_unique<PackedDriver>(world, kSize, base);
    return std::make_unique<SplitDriver>(world, kSize, base);
  }
  void start(bool event_index) {
    receive = ring(0x10000), transmit = ring(0x14000);
    driver.enable_msix();
    std::uint64_t features = feature::kVersion1 | net::kMac | net::kMergeBuffers;
    if (GetParam()) features |= feature::kPacked;
    if (event_index) features |= feature::kEventIndex;
    ASSERT_TRUE(driver.negotiate(features));
    driver.set_up_queue(0, receive->set_up(), 1);
    driver.set_up_queue(1, transmit->set_up(), 2);
    driver.go();
  }
  /// A frame of 100 bytes that says its number.
  void send(unsigned number) {
    const std::uint64_t at = kSent + number % kSize * kStride;
    for (std::uint64_t i = 0; i < 14; i += 2) world.put(at + 12 + i, std::uint16_t{0x0202});
    world.put(at + 12 + 14, number);
    transmit->offer({{at, 112}});
    driver.notify(1);
  }
  /// Half of what a frame needs.
  void lend(unsigned number) {
    receive->offer({{kReceived + number % kSize * kStride, 60, true}});
    driver.notify(0);
  }

  DriverMemory world;
  Echo echo;
  VirtioNet model{echo, *world.memory, {2, 2, 2, 2, 2, 2}};
  Messages messages;
  test::FakeClock clock;
  std::unique_ptr<EventLoop> loop;
  PciDriver driver{model, *world.memory, &messages};
  std::unique_ptr<RingDriver> receive, transmit;
  std::thread io;
};

INSTANTIATE_TEST_SUITE_P(Layouts, VirtioNetThreadsTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Packed" : "Split"; });

TEST_P(VirtioNetThreadsTest, EveryFrameComesBackInOrder) {
  for (const bool event_index : {false, true}) {
    start(event_index);
    constexpr unsigned kFrames = 1000;
    unsigned sent = 0, done = 0, lent = 0, got = 0;
    std::uint64_t seen = 0;
    bool armed = false;  // for what comes after the last look
    while (got < kFrames) {
      bool idle = true;
      while (sent < kFrames && sent - done < 8) send(sent++), idle = false;
      while (lent - 2 * got < 6) lend(lent++), idle = false;
      while (transmit->take_used()) ++done, idle = false;
      while (const auto used = receive->take_used()) {
        idle = false;
        ASSERT_EQ(used->length, 60u);
        const std::uint64_t at = kReceived + 2 * got % kSize * kStride;
        ASSERT_TRUE(receive->take_used()) << "both buffers are given back at once";
        ASSERT_EQ(world.get<unsigned>(at + 12 + 14), got);
        ++got;
      }
      if (!std::exchange(armed, idle) && event_index) {
        receive->want_interrupt_after(0), transmit->want_interrupt_after(0);
      } else if (idle) {
        ASSERT_TRUE(messages.wait(seen)) << "lost behind frame " << got;
      }
    }
    driver.set_common<std::uint8_t>(20, 0);
  }
}

TEST_P(VirtioNetThreadsTest, ResetsInTheMidstOfItLeaveMemoryToTheDriver) {
  for (unsigned round = 0; round < 50; ++round) {
    start(round % 2 == 1);
    for (unsigned i = 0; i < 8; ++i) lend(i), send(i);
    driver.set_common<std::uint8_t>(20, 0);
    EXPECT_EQ(driver.common<std::uint8_t>(20), 0u);
    for (unsigned i = 0; i < 8; ++i) world.put(kReceived + i * kStride, std::uint64_t{0});
    std::this_thread::yield();
    for (unsigned i = 0; i < 8; ++i)
      EXPECT_EQ(world.get<std::uint64_t>(kReceived + i * kStride), 0u);
  }
}

}  // namespace
}  // namespace vireo::devices::virtio
