// What a machine does to a virtual CPU between two runs, without taking its state out of the
// engine.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/engines.h"
#include "engine/software/vcpu_world.h"

namespace vireo::engine {
namespace {

/// Reads [RBX] into EAX and halts, again and again, with interrupts off.
struct BetweenRunsTest : ::testing::TestWithParam<std::string> {
  static constexpr std::uint64_t kPage = 0x40000000;
  static constexpr int kRounds = 200;  // so that every engine does it as fast as it can

  void SetUp() override {
    w.code(w.kCode, {0x8b, 0x03, 0xf4, 0xeb, 0xfb});
    w.tables.map(kPage, w.kData);
    w.put<std::uint32_t>(w.kData, 1);
    w.put<std::uint32_t>(w.kData + 0x1000, 2);
    w.state.gpr[x86::kRbx] = kPage;
    w.vcpu->load(w.state);
    EXPECT_EQ(w.vcpu->run().value(), ExitReason::kHalted);
  }
  std::uint64_t run_once_more() {
    w.vcpu->end_halt();
    EXPECT_EQ(w.vcpu->run().value(), ExitReason::kHalted);
    w.vcpu->store(w.state);
    return w.state.gpr[x86::kRax];
  }
  test::VcpuWorld w{
      [](memory::GuestMemory& memory) { return create_engine(GetParam(), memory).value(); }};
};

TEST_P(BetweenRunsTest, AHaltEndsWhenTheMachineSaysSo) {
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    w.put(w.kData, round);
    EXPECT_EQ(run_once_more(), round);
  }
  w.put(w.kData, ~0u);
  EXPECT_EQ(w.vcpu->run().value(), ExitReason::kHalted) << "by itself it stays halted";
  w.vcpu->store(w.state);
  EXPECT_EQ(w.state.gpr[x86::kRax], kRounds - 1u);
}

TEST_P(BetweenRunsTest, OneThatIsNotHaltedIsLeftAsItIs) {
  w.vcpu->end_halt();
  w.vcpu->end_halt();
  EXPECT_EQ(run_once_more(), 1u);
  EXPECT_EQ(w.state.activity, static_cast<std::uint8_t>(x86::Activity::kHalted));
  w.state.activity = static_cast<std::uint8_t>(x86::Activity::kWaitForSipi);
  w.vcpu->load(w.state);
  w.vcpu->end_halt();
  EXPECT_EQ(w.vcpu->run().value(), ExitReason::kHalted);
  x86::CpuState after;
  w.vcpu->store(after);
  EXPECT_EQ(after, w.state);
}

TEST_P(BetweenRunsTest, TranslationsAreDroppedWhenTheMachineSaysSo) {
  for (int round = 0; round < kRounds; ++round) EXPECT_EQ(run_once_more(), 1u);
  for (const std::uint64_t page : {w.kData + 0x1000, w.kData}) {
    w.tables.map(kPage, page);
    w.vcpu->flush_tlb();
    for (int round = 0; round < kRounds; ++round)
      ASSERT_EQ(run_once_more(), page == w.kData ? 1u : 2u);
  }
}

std::vector<std::string> available_engines() {
  std::vector<std::string> result;
  for (const EngineInfo& info : engines())
    if (info.available) result.emplace_back(info.name);
  return result;
}

INSTANTIATE_TEST_SUITE_P(Engines, BetweenRunsTest, ::testing::ValuesIn(available_engines()),
                         [](const auto& engine) { return engine.param; });

}  // namespace
}  // namespace vireo::engine
