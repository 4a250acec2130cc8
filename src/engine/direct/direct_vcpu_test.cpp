#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/event_loop.h"
#include "base/host_clock.h"
#include "engine/direct/direct.h"
#include "engine/software/vcpu_world.h"

namespace vireo::engine::direct {
namespace {

using namespace std::chrono_literals;
using test::PageTables;
using test::VcpuWorld;

/// A kernel that returns to user code once, and is not interrupted any more.
class DirectVcpuTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kUser = 0x40000;

  void SetUp() override {
    if (const auto possible = probe_direct(); !possible) GTEST_SKIP() << possible.error().message;
    loop_ = std::move(*EventLoop::create(clock_));
    events_ = std::thread([this] { loop_->run(); });
    world_.vcpu =
        world_.engine->create_vcpu({0, world_.machine, world_.model, clock_, loop_.get()}).value();
    world_.tables.map(kUser, kUser, PageTables::kP | PageTables::kU);
    world_.code(VcpuWorld::kCode, {0x6a, 0x1b,                    // push user data
                                   0x6a, 0x00,                    // push 0
                                   0x9c,                          // pushfq
                                   0x80, 0x4c, 0x24, 0x01, 0x02,  // or byte [rsp+1], IF
                                   0x6a, 0x23,                    // push user code
                                   0x68, 0x00, 0x00, 0x04, 0x00,  // push kUser
                                   0x48, 0xcf});                  // iretq
    world_.put<std::uint64_t>(VcpuWorld::kGdt + 0x18, 0x00cff3000000ffff);
    world_.put<std::uint64_t>(VcpuWorld::kGdt + 0x20, 0x00affb000000ffff);
    world_.state.cr4 |= x86::cr4::kOsxmmexcpt;
  }
  void TearDown() override {
    if (!events_.joinable()) return;
    loop_->stop();
    events_.join();
    world_.vcpu.reset();
  }
  /// Until the counter is no longer zero, or a minute is over.
  void run_until(std::string_view counter) {
    std::jthread watch([&] {
      for (unsigned i = 0; i < 6000 && world_.counter(counter) == 0; ++i)
        std::this_thread::sleep_for(10ms);
      world_.vcpu->kick();
    });
    EXPECT_EQ(world_.run(), ExitReason::kKicked);
  }

  HostClock clock_;
  std::unique_ptr<EventLoop> loop_;
  std::thread events_;
  VcpuWorld world_{[](memory::GuestMemory& memory) { return make_direct(memory); }};
};

TEST_F(DirectVcpuTest, CodeThatNothingInterruptsIsRunNatively) {
  world_.code(kUser, {0x48, 0xff, 0xc0,  // inc rax
                      0xeb, 0xfb});      // jmp back
  run_until("direct_runs");
  EXPECT_GT(world_.counter("direct_runs"), 0u);
  EXPECT_EQ(world_.counter("direct_activations"), 1u);
}

TEST_F(DirectVcpuTest, CodeThatStaysInAPageWithCpuidIsRunNatively) {
  world_.code(kUser, {0x48, 0xff, 0xc3,  // inc rbx
                      0x48, 0x85, 0xdb,  // test rbx, rbx
                      0x75, 0xf8,        // jnz back
                      0x0f, 0xa2});      // cpuid
  run_until("direct_pages_guarded");
  EXPECT_EQ(world_.counter("direct_pages_guarded"), 1u);
}

/// There are more of them than debug registers. What they answer natively is what they answered in
/// translated code.
TEST_F(DirectVcpuTest, CodeInAPageWithManyCpuidsIsRunNatively) {
  const test::Bytes loop = {0xb8, 0x00, 0x00, 0x00, 0x40,              // mov eax, 0x40000000
                            0x0f, 0xa2,                                // cpuid
                            0x41, 0x89, 0xd8,                          // mov r8d, ebx
                            0x49, 0xff, 0xc1,                          // again: inc r9
                            0x41, 0xf7, 0xc1, 0xff, 0xff, 0x3f, 0x00,  // test r9d, 0x3fffff
                            0x75, 0xf4,                                // jnz again
                            0xb8, 0x00, 0x00, 0x00, 0x40,              // mov eax, 0x40000000
                            0x0f, 0xa2,                                // cpuid
                            0x49, 0xff, 0xc2,                          // inc r10
                            0x44, 0x39, 0xc3,                          // cmp ebx, r8d
                            0x74, 0xe5,                                // je again
                            0x0f, 0x0b};                               // ud2
  test::Bytes code(128, 0x90);  // nop: where instructions begin is sure behind them
  code.insert(code.end(), loop.begin(), loop.end());
  for (int i = 0; i < 6; ++i) code.insert(code.end(), {0x31, 0xc0, 0x0f, 0xa2});  // and others
  world_.code(kUser, code);
  run_until("direct_pages_trapped");
  EXPECT_EQ(world_.counter("direct_pages_trapped"), 1u);
  EXPECT_EQ(world_.counter("direct_pages_guarded"), 0u);
  const std::uint64_t translated = world_.state.gpr[x86::kR10];
  std::jthread later([&] {
    std::this_thread::sleep_for(300ms);
    world_.vcpu->kick();
  });
  EXPECT_EQ(world_.run(), ExitReason::kKicked);
  EXPECT_GT(world_.state.gpr[x86::kR10], translated + 2) << "natively, and through the traps";
}

}  // namespace
}  // namespace vireo::engine::direct
