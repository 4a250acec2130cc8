#include "backends/network/tap_port.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "backends/network/recording_reader_fake.h"
#include "base/unique_fd.h"

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

/// A tap of its own, which the host has switched on; none if this host does not let us.
struct TapTest : ::testing::TestWithParam<bool> {
  void SetUp() override {
    fd = UniqueFd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    std::strcpy(request.ifr_name, "vireo-test%d");
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (GetParam()) request.ifr_flags |= IFF_VNET_HDR;
    if (!fd || ::ioctl(fd.get(), TUNSETIFF, &request) != 0)
      GTEST_SKIP() << "no tap can be made here; it takes CAP_NET_ADMIN and /dev/net/tun";
    const UniqueFd any(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq up = request;
    up.ifr_flags = IFF_UP | IFF_NOARP;
    ASSERT_EQ(::ioctl(any.get(), SIOCSIFFLAGS, &up), 0);
  }
  ifreq request{};
  UniqueFd fd;
};

INSTANTIATE_TEST_SUITE_P(Headers, TapTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "With" : "Without"; });

TEST_P(TapTest, ADescriptorThatSomebodyOpenedIsUsed) {
  const auto port = open_tap("fd:" + std::to_string(fd.release()));
  ASSERT_TRUE(port) << port.error().message;
  EXPECT_EQ((*port)->takes(), GetParam() ? TakenFrames::kUnfinished : TakenFrames::kPlain);
  RecordingReader reader;
  (*port)->start(reader);
  // A packet socket on the host is what a frame of the guest comes out at, and goes in at.
  const UniqueFd wire(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0xb588));  // 88b5
  ASSERT_TRUE(wire) << "no packet socket";
  const auto frame = text_frame({2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, "out of the guest");
  ASSERT_TRUE((*port)->send({}, frame));
  FrameBytes got(2000);
  timeval patience{10, 0};
  ::setsockopt(wire.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ASSERT_EQ(::recv(wire.get(), got.data(), got.size(), 0), static_cast<ssize_t>(frame.size()));
  EXPECT_TRUE(std::equal(frame.begin(), frame.end(), got.begin()));
  (*port)->stop();
}

TEST(Tap, OneThatIsNotThereIsAHostErrorThatSaysHowToMakeIt) {
  const auto port = open_tap("vireo-none");
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().blame, Blame::kHost);
  EXPECT_THAT(port.error().message, HasSubstr("ip tuntap add dev vireo-none"));
}

TEST(Tap, WhatIsNoTapIsRefused) {
  for (const char* name : {"", "a-name-that-is-too-long", "fd:", "fd:x", "fd:-1", "fd:9999"}) {
    const auto port = open_tap(name);
    ASSERT_FALSE(port) << name;
    EXPECT_EQ(port.error().blame, Blame::kUsage) << name;
  }
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(open_tap("fd:" + std::to_string(null.get())));
}

}  // namespace
}  // namespace vireo::backends
