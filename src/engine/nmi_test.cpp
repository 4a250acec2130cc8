// NMIs that come while another is in service. SDM vol. 3A, 6.7.1.
#include <gtest/gtest.h>

#include <string>

#include "engine/engines.h"
#include "engine/software/vcpu_world.h"

namespace vireo::engine {
namespace {

constexpr std::uint64_t kDevice = 0x200000;

struct NmiTest : ::testing::TestWithParam<std::string> {
  test::VcpuWorld w{
      [](memory::GuestMemory& memory) { return create_engine(GetParam(), memory).value(); }};
};

/// The handler counts, and the first time it writes to a device, for which three come, in the block
/// of its IRET: one of them is latched.
TEST_P(NmiTest, OneIsLatchedWhileAnotherIsInServiceHoweverLateTheyAreSeen) {
  w.set_handler(2, w.kHandlers + 0x1000);
  w.code(w.kHandlers + 0x1000, {0xff, 0x03,        // inc dword [rbx]
                                0x83, 0x3b, 0x01,  // cmp dword [rbx], 1
                                0x74, 0x02,        // je first
                                0x48, 0xcf,        // iretq
                                0x88, 0x01,        // first: mov [rcx], al
                                0x48, 0xcf});      // iretq
  w.code(w.kCode, {0xe6, 0x80,                     // out 0x80, al
                   0xf4});                         // hlt
  w.machine.on_out = [&](std::uint16_t) { w.vcpu->notify_nmi(); };
  w.machine.on_mmio_write = [&] {
    for (int i = 0; i < 3; ++i) w.vcpu->notify_nmi();
  };
  w.tables.map(kDevice, 0xf0000000);
  w.state.gpr[x86::kRcx] = kDevice;
  w.state.gpr[x86::kRbx] = w.kData;
  EXPECT_EQ(w.run(), ExitReason::kHalted);
  EXPECT_EQ(w.get<std::uint32_t>(w.kData), 2u);
}

INSTANTIATE_TEST_SUITE_P(Engines, NmiTest, ::testing::Values("interpreter", "translator"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace vireo::engine
