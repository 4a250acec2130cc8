// Memory of a device that moves while code runs that uses it.
#include <atomic>
#include <thread>

#include "engine/engines.h"
#include "engine/software/vcpu_world.h"

namespace vireo::engine {
namespace {

using test::kDevice;

/// Counts EDI down: reads [RBX] into ECX, writes EDI to [RBX + 4], tells the machine.
struct DeviceMemoryTest : ::testing::TestWithParam<const char*> {
  static constexpr std::uint64_t kPage = 0x40000000;
  static constexpr std::uint32_t kInMemory = 0x11111111, kInDevice = 0x03020100;
  static constexpr std::uint64_t kRounds = 3000;

  void SetUp() override {
    w.tables.map(kPage, kDevice);
    w.code(w.kCode, {0x8b, 0x0b, 0x89, 0x7b, 0x04, 0xee, 0xff, 0xcf, 0x75, 0xf6, 0xf4});
    w.state.gpr[x86::kRbx] = kPage;
    w.state.gpr[x86::kRdi] = kRounds;
    const auto memory = w.memory->device_memory();
    std::ranges::fill(memory.first(4), std::byte{0x11});
    w.machine.on_out = [this](std::uint16_t) {
      if (++outs == kRounds / 2) half_way();
    };
  }
  std::uint32_t written() const {
    std::uint32_t word = 0;
    std::memcpy(&word, w.memory->device_memory().data() + 4, sizeof(word));
    return word;
  }
  test::VcpuWorld w{
      [](memory::GuestMemory& memory) { return create_engine(GetParam(), memory).value(); }};
  std::function<void()> half_way;
  std::uint64_t outs = 0;
};

TEST_P(DeviceMemoryTest, IsUsedDirectlyWhileItIsThere) {
  w.memory->place_device_memory(PhysAddr{kDevice});
  half_way = [] {};
  ASSERT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRcx], kInMemory);
  EXPECT_EQ(written(), 1u);
  EXPECT_TRUE(w.machine.log.empty());
}

TEST_P(DeviceMemoryTest, IsTheDeviceItselfFromTheInstructionOnThatMovesIt) {
  w.memory->place_device_memory(PhysAddr{kDevice});
  half_way = [this] { w.memory->place_device_memory(std::nullopt); };
  ASSERT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRcx], kInDevice);
  EXPECT_EQ(written(), kRounds / 2 + 1);
  EXPECT_EQ(w.machine.log.size(), kRounds) << "a read and a write in each round";
  EXPECT_EQ(w.machine.log.back(), "write4 0x3000004 0x1");
}

TEST_P(DeviceMemoryTest, AppearsUnderCodeThatUsesTheDevice) {
  half_way = [this] { w.memory->place_device_memory(PhysAddr{kDevice}); };
  ASSERT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.state.gpr[x86::kRcx], kInMemory);
  EXPECT_EQ(written(), 1u);
  EXPECT_EQ(w.machine.log.size(), kRounds);
}

TEST_P(DeviceMemoryTest, WhoeverMovesItWaitsUntilNoOtherCpuUsesThePlaceBefore) {
  w.memory->place_device_memory(PhysAddr{kDevice});
  std::atomic<bool> half = false;
  w.state.gpr[x86::kRdi] = 200'000'000;
  w.machine.on_out = [this, &half](std::uint16_t) {
    if (++outs == 1000) half = true;
  };
  std::thread other([&] {
    while (!half) std::this_thread::yield();
    w.memory->place_device_memory(std::nullopt);
    const std::uint32_t last = written();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(written(), last);
    w.vcpu->kick();
  });
  EXPECT_EQ(w.run(), ExitReason::kKicked);
  other.join();
  EXPECT_EQ(w.state.gpr[x86::kRcx], kInDevice);
}

INSTANTIATE_TEST_SUITE_P(Engines, DeviceMemoryTest, ::testing::Values("interpreter", "translator"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vireo::engine
