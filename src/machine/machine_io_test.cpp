// Disks and networks of a machine: what is counted, and that a pause stops them.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <fstream>
#include <mutex>
#include <thread>

#include "backends/block/block_account.h"
#include "backends/character/memory_backend.h"
#include "machine/boot/test_images.h"
#include "machine/fake_engine.h"
#include "machine/machine_builder.h"
#include "machine/virtio_windows.h"

namespace vireo::machine {
namespace {

using engine::ExitReason, test::FakeVcpu;
using namespace std::chrono_literals;

/// Reads a moment after it was asked to, on a thread of its own.
class SlowDisk final : public backends::BlockBackend {
 public:
  SlowDisk() : thread_([this] { work(); }) {}
  ~SlowDisk() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  std::uint64_t size() const override { return 1 << 20; }
  bool read_only() const override { return false; }
  std::string name() const override { return "slow disk"; }
  backends::BlockCounters counters() const override { return account_.counters(); }
  void submit(backends::BlockRequest request) override {
    account_.begin(request);
    ++under_way;
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(request));
    changed_.notify_one();
  }
  void drain() override {}

  std::atomic<int> under_way = 0;

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const backends::BlockRequest request = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      std::this_thread::sleep_for(2ms);
      account_.end(request.operation, request.length, {});
      --under_way;
      request.done({});
      lock.lock();
    }
  }
  backends::BlockAccount account_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<backends::BlockRequest> waiting_;
  bool ending_ = false;
  std::thread thread_;
};

class NoNetwork final : public backends::NetworkBackend {
 public:
  std::string name() const override { return "no network"; }
  backends::TakenFrames takes() const override { return backends::TakenFrames::kPlain; }
  void start(backends::NetworkReader&) override {}
  void stop() override {}
  bool send(const backends::FrameHeader&, std::span<const std::byte>) override { return true; }
  void resume() override {}
};

/// A guest that reads one sector after the other, by a queue of one request behind a window.
struct MachineIoTest : ::testing::Test {
  static constexpr std::uint64_t kWindow = kVirtioWindows[0].base;
  static constexpr std::uint64_t kTable = 0x8000, kAvailable = 0x9000, kUsed = 0xa000,
                                 kHeader = 0xb000, kData = 0xc000;

  MachineIoTest() {
    char name[] = "/tmp/vireo-kernel-XXXXXX";
    const UniqueFd fd(::mkstemp(name));
    const auto file = test::bzimage();
    std::ofstream(name, std::ios::binary)
        .write(reinterpret_cast<const char*>(file.data()),
               static_cast<std::streamsize>(file.size()));
    MachineConfig config;
    config.kernel = name;
    config.command_line = "pci=off";
    config.memory_bytes = 16 << 20;
    config.cpu = "baseline";
    config.timeout_seconds = 120;
    HostParts parts;
    parts.create_engine = [this](std::string_view, memory::GuestMemory&) {
      return Result<std::unique_ptr<engine::Engine>>(
          std::make_unique<test::FakeEngine>([this](FakeVcpu& cpu) { return read_sectors(cpu); }));
    };
    parts.serial = std::make_unique<backends::MemoryBackend>();
    auto slow = std::make_unique<SlowDisk>();
    disk = slow.get();
    parts.disks.push_back(std::move(slow));
    parts.networks.push_back({std::make_unique<NoNetwork>(), {2, 0, 0, 0, 0, 1}});
    machine = std::move(*build_machine(config, std::move(parts)));
    ::unlink(name);
    thread = std::thread([this] { machine->run(); });
  }
  ~MachineIoTest() override {
    machine->request_stop(EndReason::kStopped);
    thread.join();
  }

  template <class T>
  void put(std::uint64_t address, T value) {
    EXPECT_TRUE(machine->memory().write_value(PhysAddr{address}, value));
  }
  std::uint16_t used() const {
    const std::byte* const at = machine->memory().host_page(PhysAddr{kUsed}) + 2;
    // SAFETY: an aligned word of a page that stays mapped.
    return __atomic_load_n(reinterpret_cast<const std::uint16_t*>(at), __ATOMIC_ACQUIRE);
  }
  static void set(FakeVcpu& cpu, std::uint64_t offset, std::uint32_t value) {
    cpu.port().mmio_write(PhysAddr{kWindow + offset}, std::as_bytes(std::span(&value, 1)));
  }
  void describe(unsigned index, std::uint64_t address, std::uint32_t length, std::uint16_t flags) {
    const std::uint64_t at = kTable + 16 * index;
    put(at, address), put(at + 8, length), put(at + 12, flags);
    put(at + 14, static_cast<std::uint16_t>(index + 1));
  }
  /// As Virtual I/O Device 1.2, 3.1.1 and 4.2.3 have it.
  void set_up(FakeVcpu& cpu) {
    for (const std::uint32_t status : {0u, 1u, 3u}) set(cpu, 0x70, status);
    set(cpu, 0x24, 1), set(cpu, 0x20, 1);  // VERSION_1
    set(cpu, 0x70, 0xb);
    set(cpu, 0x30, 0), set(cpu, 0x38, 4);
    set(cpu, 0x80, kTable), set(cpu, 0x90, kAvailable), set(cpu, 0xa0, kUsed);
    set(cpu, 0x44, 1);
    set(cpu, 0x70, 0xf);
    put(kHeader, std::uint64_t{0}), put(kHeader + 8, std::uint64_t{0});  // a read of sector 0
    describe(0, kHeader, 16, 1);
    describe(1, kData, 512, 3);
    describe(2, kData + 512, 1, 2);
  }
  Result<ExitReason> read_sectors(FakeVcpu& cpu) {
    if (!std::exchange(is_set_up, true)) set_up(cpu);
    while (!cpu.kicked()) {
      if (used() != offered) {
        std::this_thread::yield();
        continue;
      }
      put(kAvailable + 4 + 2 * (offered % 4), std::uint16_t{0});
      put(kAvailable + 2, ++offered);
      set(cpu, 0x50, 0);
    }
    return cpu.spin();
  }
  void wait_for_progress() {
    const std::uint16_t before = used();
    for (int i = 0; i < 60000 && used() == before; ++i) std::this_thread::sleep_for(1ms);
    ASSERT_NE(used(), before);
  }

  SlowDisk* disk = nullptr;
  bool is_set_up = false;
  std::uint16_t offered = 0;
  std::unique_ptr<Machine> machine;
  std::thread thread;
};

TEST_F(MachineIoTest, APauseEndsRequestsUnderWayAndBeginsNoOthers) {
  for (int i = 0; i < 20; ++i) {
    wait_for_progress();
    machine->pause();
    EXPECT_EQ(disk->under_way, 0);
    const std::uint16_t before = used();
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(disk->under_way, 0);
    EXPECT_EQ(used(), before);
    machine->resume();
  }
  wait_for_progress();
}

TEST_F(MachineIoTest, PausesNest) {
  wait_for_progress();
  machine->pause();
  machine->pause();
  machine->resume();
  const std::uint16_t before = used();
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(used(), before);
  machine->resume();
  wait_for_progress();
}

TEST_F(MachineIoTest, AMachineThatIsPausedCanEnd) {
  wait_for_progress();
  machine->pause();
}

TEST_F(MachineIoTest, StatisticsCountWhatDisksAndNetworksDid) {
  while (used() < 3) std::this_thread::sleep_for(1ms);
  machine->pause();
  const MachineStatistics statistics = machine->statistics();
  const std::uint64_t done = used();
  ASSERT_EQ(statistics.disks.size(), 1u);
  const DiskStatistics& counted = statistics.disks[0];
  EXPECT_EQ(counted.name, "slow disk");
  EXPECT_EQ(counted.requests.requests, done);
  EXPECT_EQ(counted.requests.read_bytes, done * 512);
  EXPECT_EQ(counted.requests.written_bytes, 0u);
  ASSERT_TRUE(counted.queues);
  EXPECT_GE(counted.queues->notifications, done);
  EXPECT_EQ(counted.queues->interrupts, done);
  ASSERT_EQ(statistics.networks.size(), 1u);
  EXPECT_EQ(statistics.networks[0].name, "no network");
  EXPECT_EQ(statistics.networks[0].frames, devices::virtio::NetworkCounters{});
  EXPECT_EQ(statistics.networks[0].queues.notifications, 0u);
  machine->resume();
}

}  // namespace
}  // namespace vireo::machine
