#include "machine/hypercalls.h"

#include <gtest/gtest.h>

#include <vector>

namespace vireo::machine {
namespace {

struct HypercallsTest : ::testing::Test, devices::InterruptSink, CpuKicker {
  bool deliver(const devices::InterruptMessage& message) override {
    messages.push_back(message);
    return message.destination != 7;
  }
  void kick(std::uint32_t apic_id) override { kicked.push_back(apic_id); }

  std::int64_t call(std::uint64_t number, std::array<std::uint64_t, 4> arguments = {}) {
    return static_cast<std::int64_t>(execute_hypercall(*this, *this, number, arguments));
  }
  std::vector<devices::InterruptMessage> messages;
  std::vector<std::uint32_t> kicked;
};

TEST_F(HypercallsTest, AKickGoesToTheCpuWithTheApicId) {
  EXPECT_EQ(call(5, {0, 3}), 0);
  EXPECT_EQ(kicked, std::vector<std::uint32_t>{3});
  EXPECT_EQ(call(5, {0, 1ull << 32}), 0);
  EXPECT_EQ(call(5, {0, 0xffffffff}), 0);
  EXPECT_EQ(kicked.size(), 1u) << "no CPU has such an id";
}

TEST_F(HypercallsTest, AnIpiGoesToEachCpuOfTheBitmap) {
  EXPECT_EQ(call(10, {1ull << 0 | 1ull << 2, 1, 5, 0xfd}), 2) << "one of three did not take it";
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0].destination, 5u);
  EXPECT_EQ(messages[1].destination, 7u);
  EXPECT_EQ(messages[2].destination, 69u);
  EXPECT_EQ(messages[0].vector, 0xfd);
  EXPECT_EQ(messages[0].mode, devices::DeliveryMode::kFixed);
}

TEST_F(HypercallsTest, AnIpiBeyondTheLastApicIdGoesNowhere) {
  EXPECT_EQ(call(10, {~0ull, ~0ull, 0xfffffffe, 0x400}), 1);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].mode, devices::DeliveryMode::kNmi);
  EXPECT_EQ(call(10, {~0ull, ~0ull, ~0ull - 3, 0x400}), 123) << "ids 0 to 123, but for 7";
}

TEST_F(HypercallsTest, YieldingAnswersAndUnknownOnesAreUnknown) {
  EXPECT_EQ(call(11, {1}), 0);
  for (const std::uint64_t number : {0u, 1u, 4u, 9u, 12u}) EXPECT_EQ(call(number), -1000);
}

}  // namespace
}  // namespace vireo::machine
