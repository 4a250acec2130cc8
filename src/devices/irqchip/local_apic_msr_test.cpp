// Modes, x2APIC registers and the TSC deadline, as RDMSR and WRMSR show them.
#include <gtest/gtest.h>

#include <set>

#include "devices/irqchip/apic_test_rig.h"
#include "devices/irqchip/local_apic.h"

namespace vireo::devices {
namespace {

constexpr std::uint32_t kBase = 0x1b, kDeadline = 0x6e0;
constexpr std::uint64_t kEnable = 0x800, kExtend = 0x400, kBsp = 0x100, kPage = 0xfee00000;

struct LocalApicMsrTest : ::testing::Test {
  bool set(std::uint32_t msr, std::uint64_t value, unsigned cpu = 0) {
    return rig.apic(cpu).write_msr(msr, value);
  }
  std::uint64_t get(std::uint32_t msr, unsigned cpu = 0) {
    return rig.apic(cpu).read_msr(msr).value_or(0xdead);
  }
  test::ApicRig rig{3};
};

TEST_F(LocalApicMsrTest, FromXapicOnlyToX2apicAndDisabled) {
  EXPECT_FALSE(set(kBase, kPage | kExtend));
  EXPECT_TRUE(set(kBase, kPage | kEnable));
  EXPECT_TRUE(set(kBase, kPage | kEnable | kExtend));
}

TEST_F(LocalApicMsrTest, FromX2apicOnlyToDisabled) {
  rig.enter_x2apic();
  EXPECT_FALSE(set(kBase, kPage | kExtend));
  EXPECT_FALSE(set(kBase, kPage | kEnable));
  EXPECT_TRUE(set(kBase, kPage | kEnable | kExtend));
  EXPECT_TRUE(set(kBase, kPage));
}

TEST_F(LocalApicMsrTest, FromDisabledOnlyToXapic) {
  EXPECT_TRUE(set(kBase, kPage));
  EXPECT_FALSE(set(kBase, kPage | kExtend));
  EXPECT_FALSE(set(kBase, kPage | kEnable | kExtend));
  EXPECT_EQ(get(kBase), kPage);
  EXPECT_TRUE(set(kBase, kPage | kEnable));
}

TEST_F(LocalApicMsrTest, ReservedBitsOfTheBaseFault) {
  EXPECT_FALSE(set(kBase, kPage | kEnable | 1));
  EXPECT_FALSE(set(kBase, kPage | kEnable | 0x200));
  EXPECT_FALSE(set(kBase, kPage | kEnable | 1ULL << 40));
  test::ApicRig old(1, false);
  EXPECT_FALSE(old.apic().write_msr(kBase, kPage | kEnable | kExtend));
}

TEST_F(LocalApicMsrTest, ThePageMovesAndTheRegistersWithIt) {
  ASSERT_TRUE(set(kBase, 0xfed40000 | kEnable | kBsp));
  std::uint32_t value = 0;
  const auto bytes = std::as_writable_bytes(std::span(&value, 1));
  EXPECT_FALSE(rig.apic().mmio_read(0xfee00030, bytes));
  ASSERT_TRUE(rig.apic().mmio_read(0xfed40030, bytes));
  EXPECT_EQ(value, 0x01050014u);
}

TEST_F(LocalApicMsrTest, DisabledThereIsNoPageButCr8Works) {
  rig.apic().write_cr8(3);
  ASSERT_TRUE(set(kBase, kPage | kBsp));
  EXPECT_FALSE(rig.apic().enabled());
  EXPECT_EQ(rig.read(0x30), 0xffffffffu);
  EXPECT_EQ(rig.apic().read_cr8(), 3);
  rig.apic().write_cr8(12);
  EXPECT_EQ(rig.apic().read_cr8(), 12);
  EXPECT_EQ(rig.read(0x80), 0xffffffffu);
}

TEST_F(LocalApicMsrTest, DisablingForgetsEverythingElse) {
  rig.write(0x20, 9U << 24);
  rig.write(0x300, 0x40041);  // self IPI
  ASSERT_TRUE(rig.apic().interrupt_pending());
  ASSERT_TRUE(set(kBase, kPage));
  EXPECT_FALSE(rig.apic().interrupt_pending());
  ASSERT_TRUE(set(kBase, kPage | kEnable));
  EXPECT_EQ(rig.read(0x20), 0u);
  EXPECT_EQ(rig.read(0xf0), 0xffu);
}

TEST_F(LocalApicMsrTest, DisabledThePinsAreTheCpus) {
  ASSERT_TRUE(set(kBase, kPage));
  rig.apic().lint0().set_level(true);
  EXPECT_EQ(rig.take(), 0x30u);
  rig.apic().lint1().set_level(true);
  EXPECT_EQ(rig.cpu().nmis, 1);
  rig.bus.send_msi(0xfee00000, 0x41);
  rig.bus.send_msi(0xfee00000, 0x400);
  EXPECT_EQ(rig.cpu().nmis, 1);
}

TEST_F(LocalApicMsrTest, InX2apicModeThereIsNoPage) {
  rig.enter_x2apic();
  EXPECT_EQ(rig.read(0x30), 0xffffffffu);
  EXPECT_EQ(get(0x803), 0x01050014u);
}

TEST_F(LocalApicMsrTest, InXapicModeThereAreNoX2apicRegisters) {
  for (std::uint32_t msr = 0x800; msr < 0x900; ++msr) {
    EXPECT_FALSE(rig.apic().read_msr(msr)) << std::hex << msr;
    EXPECT_FALSE(set(msr, 0)) << std::hex << msr;
  }
}

TEST_F(LocalApicMsrTest, EachRegisterCanBeReadOrWrittenAsTheManualSays) {
  std::set<std::uint32_t> readable{0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f, 0x828, 0x830, 0x832,
                                   0x833, 0x834, 0x835, 0x836, 0x837, 0x838, 0x839, 0x83e};
  for (std::uint32_t msr = 0x810; msr < 0x828; ++msr) readable.insert(msr);
  const std::set<std::uint32_t> writable{0x808, 0x80b, 0x80f, 0x828, 0x830, 0x832, 0x833,
                                         0x834, 0x835, 0x836, 0x837, 0x838, 0x83e, 0x83f};
  rig.enter_x2apic();
  for (std::uint32_t msr = 0x800; msr < 0x900; ++msr) {
    EXPECT_EQ(rig.apic().read_msr(msr).has_value(), readable.contains(msr)) << std::hex << msr;
    EXPECT_EQ(set(msr, 0), writable.contains(msr)) << std::hex << msr;
    if (msr != 0x830) {
      EXPECT_FALSE(set(msr, 1ULL << 32)) << std::hex << msr;
    }
    if (readable.contains(msr) && writable.contains(msr)) {
      EXPECT_TRUE(set(msr, get(msr))) << std::hex << msr;
    }
  }
}

TEST_F(LocalApicMsrTest, ReservedBitsFaultAndChangeNothing) {
  rig.enter_x2apic();
  EXPECT_FALSE(set(0x808, 0x100));
  EXPECT_FALSE(set(0x80b, 1));
  EXPECT_FALSE(set(0x80f, 0x5ff));
  EXPECT_FALSE(set(0x828, 1));
  EXPECT_FALSE(set(0x832, 0x800ff));
  EXPECT_FALSE(set(0x837, 0x120ff));
  EXPECT_FALSE(set(0x83e, 0x4));
  EXPECT_FALSE(set(0x83f, 0x100));
  for (const std::uint64_t bit : {13U, 16U, 17U, 20U, 31U})
    EXPECT_FALSE(set(0x830, 1ULL << bit | 0x40041));
  EXPECT_FALSE(rig.apic().interrupt_pending());
  EXPECT_EQ(get(0x808), 0u);
}

TEST_F(LocalApicMsrTest, IdsAreThoseOfPowerUpAndCannotBeWritten) {
  rig.write(0x20, 9U << 24, 1);
  rig.enter_x2apic(1);
  EXPECT_EQ(get(0x802, 1), 1u);
  EXPECT_FALSE(set(0x802, 2, 1));
}

TEST_F(LocalApicMsrTest, TheLogicalIdFollowsFromTheId) {
  LocalApic::Config config;
  config.id = 0x123;
  test::FakeCpu cpu;
  LocalApic apic(config, rig.clock, rig.clock, rig.bus, cpu);
  ASSERT_TRUE(apic.write_msr(kBase, kPage | kEnable | kExtend));
  EXPECT_EQ(apic.read_msr(0x802), 0x123u);
  EXPECT_EQ(apic.read_msr(0x80d), 0x12U << 16 | 1U << 3);
}

TEST_F(LocalApicMsrTest, X2apicIpisHaveWideDestinations) {
  for (unsigned cpu = 0; cpu < 3; ++cpu) {
    rig.enter_x2apic(cpu);
    ASSERT_TRUE(set(0x80f, 0x1ff, cpu));
  }
  ASSERT_TRUE(set(0x830, 2ULL << 32 | 0x41));
  EXPECT_EQ(rig.take(2), 0x41u);
  ASSERT_TRUE(set(0x830, 6ULL << 32 | 0x851));  // logical: bits 1 and 2 of cluster 0
  EXPECT_EQ(rig.take(0), 0u);
  EXPECT_EQ(rig.take(1), 0x51u);
  EXPECT_EQ(rig.take(2), 0x51u);
  ASSERT_TRUE(set(0x830, 0x10006ULL << 32 | 0x871));  // cluster 1
  EXPECT_FALSE(rig.apic(1).interrupt_pending());
  ASSERT_TRUE(set(0x830, 0xffffffffULL << 32 | 0x61));
  for (unsigned cpu = 0; cpu < 3; ++cpu) EXPECT_EQ(rig.take(cpu), 0x61u);
  ASSERT_TRUE(set(0x830, 0xffULL << 32 | 0x71));  // not a broadcast
  EXPECT_FALSE(rig.apic(1).interrupt_pending());
}

TEST_F(LocalApicMsrTest, SelfIpiIsAShortForm) {
  rig.enter_x2apic();
  ASSERT_TRUE(set(0x83f, 0x41));
  EXPECT_EQ(rig.take(), 0x41u);
  ASSERT_TRUE(set(0x80b, 0));
  ASSERT_TRUE(set(0x83f, 0x05));
  ASSERT_TRUE(set(0x828, 0));
  EXPECT_EQ(get(0x828), 0x20u);
}

TEST_F(LocalApicMsrTest, SixteenIsTheFirstLegalVector) {
  rig.enter_x2apic();
  ASSERT_TRUE(set(0x83f, 0x0f));
  EXPECT_EQ(rig.take(), 0u);
  ASSERT_TRUE(set(0x83f, 0x10));
  EXPECT_EQ(rig.take(), 0x10u);
}

TEST_F(LocalApicMsrTest, TheTimerWorksThroughMsrs) {
  rig.enter_x2apic();
  ASSERT_TRUE(set(0x832, 0x41));
  ASSERT_TRUE(set(0x83e, 0x0b));
  ASSERT_TRUE(set(0x838, 0xffffffff));
  EXPECT_EQ(get(0x838), 0xffffffffu);
  ASSERT_TRUE(set(0x838, 5000));
  rig.clock.advance(2000);
  EXPECT_EQ(get(0x839), 3000u);
  rig.clock.advance(3000);
  EXPECT_EQ(rig.take(), 0x41u);
}

TEST_F(LocalApicMsrTest, InitKeepsX2apicMode) {
  rig.enter_x2apic(1);
  rig.send_ipi(0x4500, 1);
  EXPECT_EQ(get(kBase, 1), kPage | kEnable | kExtend);
  EXPECT_EQ(get(0x802, 1), 1u);
  EXPECT_EQ(get(0x80f, 1), 0xffu);
}

struct DeadlineTest : LocalApicMsrTest {
  DeadlineTest() { rig.write(0x320, 0x400ef); }
};

TEST_F(DeadlineTest, AFutureDeadlineFiresWhenTheTscReachesIt) {
  ASSERT_TRUE(set(kDeadline, rig.clock.tsc() + 2001));  // 2 GHz
  EXPECT_EQ(get(kDeadline), rig.clock.tsc() + 2001);
  rig.clock.advance(1000);
  EXPECT_FALSE(rig.apic().interrupt_pending());
  rig.clock.advance(1);
  EXPECT_EQ(rig.take(), 0xefu);
  EXPECT_EQ(get(kDeadline), 0u);
}

TEST_F(DeadlineTest, APastDeadlineFiresWithinTheWrite) {
  rig.clock.advance(1000);
  ASSERT_TRUE(set(kDeadline, rig.clock.tsc()));
  EXPECT_EQ(rig.take(), 0xefu);
  EXPECT_EQ(get(kDeadline), 0u);
}

TEST_F(DeadlineTest, ZeroDisarms) {
  ASSERT_TRUE(set(kDeadline, rig.clock.tsc() + 2000));
  ASSERT_TRUE(set(kDeadline, 0));
  rig.clock.advance(1'000'000);
  EXPECT_FALSE(rig.apic().interrupt_pending());
}

TEST_F(DeadlineTest, OtherModesIgnoreItAndChangingTheModeDisarms) {
  ASSERT_TRUE(set(kDeadline, rig.clock.tsc() + 2000));
  rig.write(0x320, 0xef);
  EXPECT_EQ(get(kDeadline), 0u);
  ASSERT_TRUE(set(kDeadline, rig.clock.tsc() + 2000));
  EXPECT_EQ(get(kDeadline), 0u);
  rig.clock.advance(1'000'000);
  EXPECT_FALSE(rig.apic().interrupt_pending());
}

TEST_F(DeadlineTest, TheInitialCountIsIgnored) {
  rig.write(0x380, 1000);
  EXPECT_EQ(rig.read(0x380), 0u);
  EXPECT_EQ(rig.read(0x390), 0u);
}

TEST_F(DeadlineTest, ADistantDeadlineDoesNotOverflow) {
  ASSERT_TRUE(set(kDeadline, ~0ULL));
  rig.clock.advance(1'000'000);
  EXPECT_FALSE(rig.apic().interrupt_pending());
  EXPECT_EQ(get(kDeadline), ~0ULL);
}

}  // namespace
}  // namespace vireo::devices
