#include "backends/network/network_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

TEST(NetworkOptions, NoneIsNoCard) {
  const auto none = parse_network("none");
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value());
}

TEST(NetworkOptions, TellWhatACardIsPluggedInto) {
  EXPECT_EQ(parse_network("user")->value(), NetworkOptions{});
  const auto lab = parse_network("switch=lab,mac=02:00:5E:00:00:0a,pcap=/tmp/a b").value().value();
  EXPECT_EQ(lab.kind, NetworkOptions::Kind::kSwitch);
  EXPECT_EQ(lab.name, "lab");
  EXPECT_EQ(lab.mac, (MacAddress{2, 0, 0x5e, 0, 0, 10}));
  EXPECT_EQ(lab.pcap, "/tmp/a b");
  EXPECT_EQ(lab.bytes_per_second, 0u);
  EXPECT_EQ(parse_network("user,rate=10Mbit").value()->bytes_per_second, 1'250'000u);
  EXPECT_EQ(parse_network("user,rate=8kbit").value()->bytes_per_second, 1000u);
  const auto tap = parse_network("tap=fd:7").value().value();
  EXPECT_EQ(tap.kind, NetworkOptions::Kind::kTap);
  EXPECT_EQ(tap.name, "fd:7");
}

TEST(NetworkOptions, ForwardsArePortsOfTheHostAndTheGuest) {
  const auto user =
      parse_network("user,forward=tcp:2222:22,forward=udp:0.0.0.0:53:5353").value().value();
  EXPECT_EQ(user.forwards, (std::vector<PortForward>{{false, "127.0.0.1", 2222, 22},
                                                     {true, "0.0.0.0", 53, 5353}}));
}

TEST(NetworkOptions, WhatMakesNoSenseIsAUsageError) {
  for (const char* text : {"",
                           "usr",
                           "user,,",
                           "switch",
                           "switch=",
                           "tap=",
                           "user,forward=",
                           "user,forward=tcp:1",
                           "user,forward=sctp:1:1",
                           "user,forward=tcp:0:1",
                           "user,forward=tcp:1:65536",
                           "user,forward=tcp:1:2x",
                           "user,mac=1",
                           "user,mac=02:00:00:00:00:0g",
                           "user,mac=03:00:00:00:00:01",
                           "user,mac=00:00:00:00:00:00",
                           "user,mac=2:0:0:0:0:0000001",
                           "user,pcap=",
                           "user,rate=",
                           "user,rate=10",
                           "user,rate=0Mbit",
                           "user,rate=10MB",
                           "user,rate=9999999Gbit",
                           "user,rate=-1kbit",
                           "switch=a,forward=tcp:1:1",
                           "none,mac=02:00:00:00:00:01"}) {
    const auto parsed = parse_network(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().blame, Blame::kUsage);
    EXPECT_THAT(parsed.error().message, HasSubstr(text[0] == 0 ? "--net" : "'")) << text;
  }
}

}  // namespace
}  // namespace vireo::backends
