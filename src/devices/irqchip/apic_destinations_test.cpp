#include <gtest/gtest.h>

#include <functional>

#include "devices/irqchip/apic_test_rig.h"

// Who takes a message when there are many CPUs. SDM vol. 3A, 10.6 and 10.12.

namespace vireo::devices {
namespace {

constexpr std::uint32_t kIcr = 0x830, kTpr = 0x808, kSvr = 0x80f, kEoi = 0x80b;
constexpr std::uint32_t kLowest = 0x100, kNmi = 0x400, kInit = 0x500, kStartup = 0x600;
constexpr std::uint32_t kLogical = 0x800, kAssert = 0x4000;
constexpr std::uint32_t kAll = 0x80000, kAllButSelf = 0xc0000;
constexpr unsigned kCpus = 40;  // two whole clusters and half of one

struct ManyApicsTest : ::testing::Test {
  ManyApicsTest() {
    for (unsigned cpu = 0; cpu < kCpus; ++cpu) {
      rig.enter_x2apic(cpu);
      VIREO_ASSERT(rig.apic(cpu).write_msr(kSvr, 0x1ff));
    }
  }
  void send(std::uint32_t low, std::uint32_t destination, unsigned from = 0) {
    ASSERT_TRUE(rig.apic(from).write_msr(kIcr, std::uint64_t{destination} << 32 | low));
  }
  /// The CPUs that have something to take, and take it.
  std::vector<unsigned> takers(unsigned vector) {
    std::vector<unsigned> result;
    for (unsigned cpu = 0; cpu < kCpus; ++cpu) {
      if (rig.take(cpu) != vector) continue;
      result.push_back(cpu);
      EXPECT_TRUE(rig.apic(cpu).write_msr(kEoi, 0));
    }
    return result;
  }
  std::vector<unsigned> cpus(const std::function<bool(unsigned)>& wanted) {
    std::vector<unsigned> result;
    for (unsigned cpu = 0; cpu < kCpus; ++cpu)
      if (wanted(cpu)) result.push_back(cpu);
    return result;
  }
  using Cpus = std::vector<unsigned>;
  test::ApicRig rig{kCpus};
};

TEST_F(ManyApicsTest, ALogicalDestinationIsASetWithinOneCluster) {
  send(kLogical | 0x41, 0x1'8003);
  EXPECT_EQ(takers(0x41), (Cpus{16, 17, 31}));
  send(kLogical | 0x42, 0x2'ffff);
  EXPECT_EQ(takers(0x42), (Cpus{32, 33, 34, 35, 36, 37, 38, 39})) << "half of them are not there";
  send(kLogical | 0x43, 0x3'ffff);
  send(kLogical | 0x44, 0x1'0000);
  EXPECT_EQ(takers(0x43), Cpus{});
  EXPECT_EQ(takers(0x44), Cpus{}) << "a set of nobody";
  send(kLogical | 0x45, 0xffffffff);
  EXPECT_EQ(takers(0x45).size(), kCpus);
}

TEST_F(ManyApicsTest, IdsAboveFifteenAreReachedPhysically) {
  send(0x41, 39);
  EXPECT_EQ(takers(0x41), Cpus{39});
  send(0x41, 40);
  EXPECT_EQ(takers(0x41), Cpus{});
  send(0x42, 0xffffffff, 39);
  EXPECT_EQ(takers(0x42).size(), kCpus) << "a broadcast has its sender, too";
}

TEST_F(ManyApicsTest, TheLeastBusyOfAClusterTakesWhatOneShallTake) {
  for (unsigned cpu = 16; cpu < 32; ++cpu) ASSERT_TRUE(rig.apic(cpu).write_msr(kTpr, 0x50));
  ASSERT_TRUE(rig.apic(27).write_msr(kTpr, 0x40));
  for (unsigned time = 0; time < 3; ++time) {
    send(kLowest | kLogical | 0x81, 0x1'ffff);
    EXPECT_EQ(takers(0x81), Cpus{27}) << time;
  }
  send(kLowest | kLogical | 0x81, 0x1'00f0);
  const Cpus one = takers(0x81);
  ASSERT_EQ(one.size(), 1u) << "the others of the cluster were not asked";
  EXPECT_TRUE(one[0] >= 20 && one[0] < 24);
}

TEST_F(ManyApicsTest, LowestPriorityGoesAroundAmongEquals) {
  std::array<unsigned, kCpus> taken{};
  for (unsigned time = 0; time < kCpus; ++time) {
    send(kLowest | kLogical | 0x81, 0x0'000f);
    const Cpus one = takers(0x81);
    ASSERT_EQ(one.size(), 1u);
    ++taken[one[0]];
  }
  for (unsigned cpu = 0; cpu < 4; ++cpu) EXPECT_GT(taken[cpu], 0u) << cpu;
}

TEST_F(ManyApicsTest, WhoTakesNoVectorsIsNotChosen) {
  for (const unsigned cpu : {16u, 17u}) ASSERT_TRUE(rig.apic(cpu).write_msr(kSvr, 0xff));
  for (unsigned time = 0; time < 6; ++time) {
    send(kLowest | kLogical | 0x81, 0x1'0007);
    EXPECT_EQ(takers(0x81), Cpus{18}) << time;
  }
}

TEST_F(ManyApicsTest, NmisGoToAllButTheirSender) {
  send(kNmi | kAssert | kAllButSelf, 0, 7);
  for (unsigned cpu = 0; cpu < kCpus; ++cpu) EXPECT_EQ(rig.cpu(cpu).nmis, cpu == 7 ? 0 : 1) << cpu;
  send(kNmi | kAssert | kLogical, 0x2'0081);
  EXPECT_EQ(rig.cpu(32).nmis, 2);
  EXPECT_EQ(rig.cpu(39).nmis, 2);
  EXPECT_EQ(rig.cpu(33).nmis, 1);
  send(kNmi | kAssert, 0xffffffff, 7);
  EXPECT_EQ(rig.cpu(7).nmis, 1) << "a destination has no exception for the sender";
  EXPECT_EQ(takers(0), cpus([](unsigned) { return true; })) << "nothing is pending with anybody";
}

TEST_F(ManyApicsTest, AnNmiComesThroughToWhoHasDisabledItsApicBySoftware) {
  ASSERT_TRUE(rig.apic(20).write_msr(kSvr, 0xff));
  ASSERT_TRUE(rig.apic(20).write_msr(kTpr, 0xff));
  send(kNmi | kAssert | kAllButSelf, 0);
  EXPECT_EQ(rig.cpu(20).nmis, 1);
}

TEST_F(ManyApicsTest, AllOthersAreStartedAtOnce) {
  send(kInit | kAssert | kAllButSelf, 0);
  send(kStartup | kAssert | kAllButSelf | 0x9a, 0);
  EXPECT_EQ(rig.cpu(0).inits, 0);
  EXPECT_TRUE(rig.cpu(0).startups.empty());
  for (unsigned cpu = 1; cpu < kCpus; ++cpu) {
    EXPECT_EQ(rig.cpu(cpu).inits, 1) << cpu;
    EXPECT_EQ(rig.cpu(cpu).startups, std::vector<std::uint8_t>{0x9a}) << cpu;
  }
}

TEST_F(ManyApicsTest, ShorthandsDoNotLookAtTheDestination) {
  send(kAllButSelf | 0x41, 5, 3);
  EXPECT_EQ(takers(0x41), cpus([](unsigned cpu) { return cpu != 3; }));
  send(kAll | kLogical | 0x42, 0x1'0001, 3);
  EXPECT_EQ(takers(0x42).size(), kCpus);
}

// Eight bits of destination, as MSIs and the I/O APIC have them.
TEST_F(ManyApicsTest, MessagesOfDevicesReachAllWithTheirOwnBroadcast) {
  rig.bus.send_msi(0xfee00000 | 0xff << 12, 0x51);
  EXPECT_EQ(takers(0x51).size(), kCpus);
  rig.bus.send_msi(0xfee00000 | 38 << 12, 0x52);
  EXPECT_EQ(takers(0x52), Cpus{38});
  rig.bus.send_msi(0xfee00000 | 0xff << 12 | 1 << 2, kLowest | 0x53);
  EXPECT_EQ(takers(0x53).size(), 1u);
}

}  // namespace
}  // namespace vireo::devices
