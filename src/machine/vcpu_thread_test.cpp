#include "machine/vcpu_thread.h"

#include <gtest/gtest.h>

#include "base/host_clock.h"
#include "machine/fake_engine.h"

namespace vireo::machine {
namespace {

using engine::ExitReason, test::FakeVcpu, test::Script;

struct VcpuThreadTest : ::testing::Test, VcpuOwner {
  void on_triple_fault(unsigned, const x86::CpuState& state) override {
    ++triple_faults;
    rip_at_fault = state.rip;
  }
  void on_host_error(unsigned, const Error& error) override {
    host_error = error.message;
    ++host_errors;
  }
  void TearDown() override { thread.reset(); }  // it calls us

  bool wants_halts() override { return true; }
  void on_halt(unsigned, const x86::CpuState&) override { ++halts_seen; }

  void start(Script script, x86::CpuState state = {}, unsigned index = 0) {
    auto fake = std::make_unique<FakeVcpu>(std::move(script), nullptr);
    vcpu = fake.get();
    thread = std::make_unique<VcpuThread>(index, std::move(fake), *this, cpus, 0x806f8);
    thread->start(state);
  }
  void park() {
    thread->request_park();
    thread->wait_parked();
  }
  static void eventually(auto condition) {
    for (int i = 0; i < 60000 && !condition(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_TRUE(condition());
  }

  std::atomic<int> triple_faults = 0, halts_seen = 0, host_errors = 0;
  std::atomic<std::uint64_t> rip_at_fault = 0;
  std::string host_error;
  FakeVcpu* vcpu = nullptr;
  BusyCpus cpus{4};
  std::unique_ptr<VcpuThread> thread;
};

TEST_F(VcpuThreadTest, BeginsParkedAndRunsWhenResumed) {
  x86::CpuState state;
  state.rip = 0x1234;
  start([](FakeVcpu& cpu) { return cpu.spin(); }, state);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(vcpu->runs, 0u);
  thread->resume();
  eventually([&] { return vcpu->runs > 0; });
  park();
  EXPECT_EQ(thread->state().rip, 0x1234u);
}

TEST_F(VcpuThreadTest, ParkedStateCanBeReplaced) {
  start([](FakeVcpu& cpu) {
    ++cpu.state.rip;
    return cpu.spin();
  });
  x86::CpuState state;
  state.rip = 100;
  thread->set_state(state);  // parked from the beginning, whether its thread runs yet or not
  thread->resume();
  eventually([&] { return vcpu->runs > 0; });
  park();
  EXPECT_GT(thread->state().rip, 100u);
  state.rip = 5000;
  thread->set_state(state);
  const unsigned before = vcpu->runs;
  thread->resume();
  eventually([&] { return vcpu->runs > before; });
  park();
  EXPECT_GT(thread->state().rip, 5000u);
}

TEST_F(VcpuThreadTest, ParkingNests) {
  start([](FakeVcpu& cpu) { return cpu.spin(); });
  park();  // a second time
  thread->resume();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(vcpu->runs, 0u);
  thread->resume();
  eventually([&] { return vcpu->runs > 0; });
}

TEST_F(VcpuThreadTest, AHaltedCpuSleepsUntilAnInterruptOrNmi) {
  start([](FakeVcpu&) { return ExitReason::kHalted; });
  thread->resume();
  eventually([&] { return vcpu->runs == 1; });
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(vcpu->runs, 1u) << "it must not spin";
  thread->interrupt();
  eventually([&] { return vcpu->runs == 2; });
  EXPECT_EQ(vcpu->interrupts, 1u);
  thread->nmi();
  eventually([&] { return vcpu->runs == 3; });
  EXPECT_EQ(vcpu->nmis, 1u);
  EXPECT_EQ(halts_seen, 3);
  EXPECT_EQ(thread->halts(), 3u);
  park();  // also while it sleeps
}

// The interrupt comes while the CPU is on its way to sleep: after the engine has looked.
TEST_F(VcpuThreadTest, AnInterruptOnTheWayToSleepIsNotLost) {
  start([this](FakeVcpu& cpu) {
    if (cpu.runs == 1) thread->interrupt();
    return ExitReason::kHalted;
  });
  thread->resume();
  eventually([&] { return vcpu->runs == 2; });
}

TEST_F(VcpuThreadTest, AHaltEndsWithoutAnInterruptWhenItIsAskedTo) {
  start([](FakeVcpu& cpu) {
    if (cpu.state.activity == static_cast<std::uint8_t>(x86::Activity::kRunning)) ++cpu.state.rip;
    cpu.state.activity = static_cast<std::uint8_t>(x86::Activity::kHalted);
    return ExitReason::kHalted;
  });
  thread->resume();
  eventually([&] { return vcpu->runs == 1; });
  thread->interrupt();
  eventually([&] { return vcpu->runs == 2; });
  thread->end_halt();
  eventually([&] { return vcpu->runs == 3; });
  park();
  EXPECT_EQ(thread->state().rip, 0xfff0u + 2) << "the wake-up alone ends no halt";
  EXPECT_EQ(vcpu->interrupts, 1u);
}

TEST_F(VcpuThreadTest, ARequestToEndAHaltWaitsForTheNextOne) {
  start([this](FakeVcpu& cpu) {
    if (cpu.runs == 1) {
      thread->end_halt();  // it runs still
      return ExitReason::kKicked;
    }
    if (cpu.state.activity == static_cast<std::uint8_t>(x86::Activity::kRunning)) ++cpu.state.rip;
    cpu.state.activity = static_cast<std::uint8_t>(x86::Activity::kHalted);
    return ExitReason::kHalted;
  });
  thread->resume();
  eventually([&] { return vcpu->runs == 3; });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(vcpu->runs, 3u) << "once";
  park();
  EXPECT_EQ(thread->state().rip, 0xfff0u + 2);
}

TEST_F(VcpuThreadTest, AFlushThatWasLeftToAHaltedCpuComesBeforeItRuns) {
  const auto memory =
      memory::GuestMemory::create({{PhysAddr{0}, 0x1000, memory::RegionKind::kRam, "ram"}}).value();
  const HostClock clock;
  ParavirtCpu paravirt(*memory, clock);
  auto fake = std::make_unique<FakeVcpu>(
      [&](FakeVcpu& cpu) {
        if (cpu.runs == 1) {
          EXPECT_TRUE(paravirt.write_msr(0x4b564d03, 1));
        }
        return ExitReason::kHalted;
      },
      nullptr);
  vcpu = fake.get();
  thread = std::make_unique<VcpuThread>(0, std::move(fake), *this, cpus, 0x806f8);
  thread->connect(paravirt);
  thread->start({});
  thread->resume();
  std::uint8_t preempted = 0;
  eventually([&] { return memory->read_value(PhysAddr{16}, preempted) && preempted == 1; });
  EXPECT_EQ(vcpu->flushes, 0u);
  memory->write_value(PhysAddr{16}, std::uint8_t{3});
  thread->interrupt();
  eventually([&] { return vcpu->runs == 2; });
  EXPECT_EQ(vcpu->flushes, 1u);
  thread.reset();
}

TEST_F(VcpuThreadTest, ATripleFaultStopsTheCpuUntilItGetsANewState) {
  start([](FakeVcpu& cpu) -> Result<ExitReason> {
    if (cpu.state.rip == 7) return cpu.spin();
    cpu.state.rip = 0xbad;
    cpu.state.activity = static_cast<std::uint8_t>(x86::Activity::kShutdown);
    return ExitReason::kTripleFault;
  });
  thread->resume();
  eventually([&] { return triple_faults == 1; });
  EXPECT_EQ(rip_at_fault, 0xbadu);
  thread->interrupt();
  park();
  thread->resume();  // parking alone does not revive it
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(vcpu->runs, 1u);
  park();
  x86::CpuState state;
  state.rip = 7;
  thread->set_state(state);
  thread->resume();
  eventually([&] { return vcpu->runs > 1; });
  EXPECT_EQ(triple_faults, 1);
}

TEST_F(VcpuThreadTest, AHostErrorIsReportedOnce) {
  start([](FakeVcpu&) -> Result<ExitReason> { return vireo::host_error("no more memory"); });
  thread->resume();
  eventually([&] { return host_errors == 1; });
  EXPECT_EQ(host_error, "no more memory");
  thread->interrupt();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(vcpu->runs, 1u);
}

TEST_F(VcpuThreadTest, StopEndsASpinningASleepingAndAParkedCpu) {
  start([](FakeVcpu& cpu) { return cpu.spin(); });
  thread->resume();
  eventually([&] { return vcpu->runs > 0; });
  thread->stop();
  start([](FakeVcpu&) { return ExitReason::kHalted; });
  thread->resume();
  eventually([&] { return vcpu->runs > 0; });
  thread->stop();
  start([](FakeVcpu& cpu) { return cpu.spin(); });
  thread->stop();
  EXPECT_EQ(vcpu->runs, 0u);
}

TEST_F(VcpuThreadTest, InitResetsTheCpuAndKeepsItsMsrs) {
  x86::CpuState state;
  state.rip = 0x5000;
  state.gpr[x86::kRbx] = 5;
  state.msr.star = 42;
  state.msr.efer = x86::efer::kLme;
  state.fpu.mxcsr = 0x1f00;
  start([](FakeVcpu& cpu) { return cpu.spin(); }, state);
  thread->resume();
  eventually([&] { return vcpu->runs > 0; });
  const unsigned before = vcpu->runs;
  thread->init();
  eventually([&] { return vcpu->runs > before; });
  park();
  const x86::CpuState& after = thread->state();
  EXPECT_EQ(after.rip, 0xfff0u);
  EXPECT_EQ(after.segment[x86::kCs].base, 0xffff0000u);
  EXPECT_EQ(after.gpr[x86::kRbx], 0u);
  EXPECT_EQ(after.gpr[x86::kRdx], 0x806f8u);
  EXPECT_EQ(after.msr.star, 42u);
  EXPECT_EQ(after.msr.efer, 0u);
  EXPECT_EQ(after.fpu.mxcsr, 0x1f00u);
  EXPECT_EQ(after.activity, static_cast<std::uint8_t>(x86::Activity::kRunning)) << "it is the BSP";
}

TEST_F(VcpuThreadTest, SipiStartsOnlyACpuThatWaitsForIt) {
  x86::CpuState state;
  state.rip = 0x77;
  start([](FakeVcpu& cpu) { return cpu.spin(); }, state);
  thread->resume();
  eventually([&] { return vcpu->runs > 0; });
  thread->startup(0x9a);
  eventually([&] { return vcpu->runs > 1; });
  park();
  EXPECT_EQ(thread->state().rip, 0x77u);
  state.activity = static_cast<std::uint8_t>(x86::Activity::kWaitForSipi);
  thread->set_state(state);
  const unsigned before = vcpu->runs;
  thread->resume();
  eventually([&] { return vcpu->runs > before; });
  thread->startup(0x9a);
  eventually([&] { return vcpu->runs > before + 1; });
  park();
  EXPECT_EQ(thread->state().rip, 0u);
  EXPECT_EQ(thread->state().segment[x86::kCs].selector, 0x9a00);
  EXPECT_EQ(thread->state().segment[x86::kCs].base, 0x9a000u);
  EXPECT_EQ(thread->state().activity, static_cast<std::uint8_t>(x86::Activity::kRunning));
}

/// An application processor in the middle of an instruction, while others send it something.
struct BusyProcessorTest : VcpuThreadTest {
  BusyProcessorTest() {
    start(
        [this](FakeVcpu& cpu) {
          while (busy) std::this_thread::yield();
          return cpu.spin();
        },
        {}, 1);
    thread->resume();
    eventually([&] { return vcpu->runs > 0; });
  }
  /// Its state when it has seen what was sent.
  const x86::CpuState& settled() {
    busy = false;
    eventually([&] { return vcpu->runs > 1; });
    park();
    return thread->state();
  }
  static constexpr auto kWaiting = static_cast<std::uint8_t>(x86::Activity::kWaitForSipi);
  static constexpr auto kRunning = static_cast<std::uint8_t>(x86::Activity::kRunning);

  std::atomic<bool> busy = true;
};

TEST_F(BusyProcessorTest, InitForgetsTheSipiInFrontOfIt) {
  thread->startup(0x9a);
  thread->init();
  EXPECT_EQ(settled().activity, kWaiting);
}

TEST_F(BusyProcessorTest, OfSeveralSipisTheFirstBehindTheLastInitCounts) {
  thread->init();
  thread->startup(0x10);
  thread->init();
  thread->startup(0x20);
  thread->startup(0x30);
  EXPECT_EQ(settled().activity, kRunning);
  EXPECT_EQ(thread->state().segment[x86::kCs].base, 0x20000u);
}

TEST_F(VcpuThreadTest, ASipiIsNotLostHoweverSoonItFollowsItsInit) {
  start([](FakeVcpu& cpu) { return cpu.spin(); }, {}, 1);
  thread->resume();
  for (unsigned round = 0; round < 500; ++round) {
    const unsigned before = vcpu->runs;
    const auto vector = static_cast<std::uint8_t>(1 + round % 0xf0);
    thread->init();
    thread->startup(vector);
    eventually([&] { return vcpu->runs > before; });
    park();
    ASSERT_EQ(thread->state().segment[x86::kCs].selector, vector << 8);
    thread->resume();
  }
}

}  // namespace
}  // namespace vireo::machine
