#include "backends/network/user_network.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "backends/network/recording_reader_fake.h"
#include "base/unique_fd.h"

namespace vireo::backends {
namespace {

using ::testing::HasSubstr;

constexpr MacAddress kAll{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, kGuest{2, 0, 0, 0, 0, 1};

FrameBytes bytes_of(const std::vector<int>& values) {
  FrameBytes result;
  for (const int value : values) result.push_back(std::byte(value));
  return result;
}

/// "Who has 10.0.2.`last`?" of 10.0.2.15.
FrameBytes arp_request(int last) {
  FrameBytes frame = text_frame(kAll, kGuest, "");
  frame[12] = std::byte{8}, frame[13] = std::byte{6};
  const auto rest = bytes_of(
      {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, last});
  frame.insert(frame.end(), rest.begin(), rest.end());
  return frame;
}

/// A UDP socket of the host at a port that was free.
struct HostSocket {
  HostSocket() : fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  }
  std::uint16_t port() const { return ntohs(address.sin_port); }
  void send_to(std::uint16_t port, const std::string& text) {
    sockaddr_in to = address;
    to.sin_port = htons(port);
    EXPECT_GT(::sendto(fd.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&to),
                       sizeof(to)),
              0);
  }
  UniqueFd fd;
  sockaddr_in address{};
};

std::uint16_t free_port() { return HostSocket().port(); }

struct UserNetworkTest : ::testing::Test {
  void open(std::vector<PortForward> forwards = {}) {
    auto opened = open_user_network(std::move(forwards));
    ASSERT_TRUE(opened) << opened.error().message;
    network = std::move(*opened);
    network->start(reader);
  }
  void answer_arp() {
    ASSERT_TRUE(network->send({}, arp_request(2)));
    const auto [header, frame] = reader.take();
    ASSERT_GE(frame.size(), 42u);
    EXPECT_EQ(frame[21], std::byte{2}) << "a reply";
    EXPECT_EQ(std::memcmp(frame.data(), kGuest.data(), 6), 0);
    EXPECT_EQ(header.flags, FrameHeader::kChecksumValid);
  }
  /// The last frame that ends with the text, or an empty one; others are passed over.
  FrameBytes find(const std::string& text) {
    for (;;) {
      auto frame = reader.take().second;
      if (frame.empty() || text_of(frame).ends_with(text)) return frame;
    }
  }
  RecordingReader reader;
  std::unique_ptr<NetworkBackend> network;
};

TEST_F(UserNetworkTest, TheHostIsAtItsAddress) {
  open();
  answer_arp();
}

TEST_F(UserNetworkTest, DatagramsToAForwardedPortReachTheGuest) {
  const std::uint16_t port = free_port();
  open({{true, "127.0.0.1", port, 7}});
  answer_arp();
  HostSocket host;
  host.send_to(port, "datagram");
  EXPECT_FALSE(find("datagram").empty());
}

TEST_F(UserNetworkTest, LongDatagramsComeInFragmentsThatEveryCardTakes) {
  const std::uint16_t port = free_port();
  open({{true, "127.0.0.1", port, 7}});
  answer_arp();
  HostSocket host;
  host.send_to(port, std::string(5000, 'x') + "end");
  std::size_t payload = 0;
  for (;;) {
    const auto frame = reader.take().second;
    ASSERT_GT(frame.size(), 34u);
    EXPECT_LE(frame.size(), 1514u);
    payload += frame.size() - 34;
    if (text_of(frame).ends_with("end")) break;
  }
  EXPECT_EQ(payload, 5003u + 8);
}

TEST_F(UserNetworkTest, WhatTheGuestHasNoRoomForComesLaterInOrder) {
  const std::uint16_t port = free_port();
  open({{true, "127.0.0.1", port, 7}});
  answer_arp();
  reader.set_full(true);
  HostSocket host;
  const unsigned before = reader.offers();
  host.send_to(port, "first");
  ASSERT_TRUE(reader.wait_for_offers(before + 1));
  for (int i = 0; i < 100; ++i) host.send_to(port, "later");
  host.send_to(port, "last");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  reader.set_full(false);
  network->resume();
  EXPECT_TRUE(text_of(reader.take().second).ends_with("first"));
  EXPECT_FALSE(find("last").empty());
}

TEST_F(UserNetworkTest, WhileTheGuestHasNoRoomTheHostsSocketsAreNotRead) {
  const std::uint16_t port = free_port();
  open({{true, "127.0.0.1", port, 7}});
  answer_arp();
  reader.set_full(true);
  HostSocket host;
  const unsigned before = reader.offers();
  host.send_to(port, "first");
  ASSERT_TRUE(reader.wait_for_offers(before + 1));
  // 4 MB, most of which the socket that nobody reads has no room for.
  for (int i = 0; i < 100; ++i) {
    host.send_to(port, std::string(40'000, 'x'));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  reader.set_full(false);
  network->resume();
  std::size_t bytes = 0;
  for (;;) {
    const auto frame = reader.take(std::chrono::milliseconds(200)).second;
    if (frame.empty()) break;
    bytes += frame.size();
  }
  EXPECT_GT(bytes, 40'000u);
  EXPECT_LT(bytes, 2'000'000u);
}

TEST_F(UserNetworkTest, FramesThatAreNoneAreDropped) {
  open();
  for (const std::size_t size :
       {std::size_t{14}, std::size_t{15}, std::size_t{33}, kMostFrameBytes})
    for (const int type : {0, 6, 0xdd}) {
      FrameBytes frame(size, std::byte{0x45});
      frame[12] = std::byte(type == 0xdd ? 0x86 : 8), frame[13] = std::byte(type);
      while (!network->send({}, frame)) std::this_thread::yield();
    }
  answer_arp();
}

TEST_F(UserNetworkTest, AGuestThatSendsWithoutEndIsHeldUp) {
  open();
  const FrameBytes frame = text_frame(kAll, kGuest, std::string(60000, 'x'));
  bool refused = false;
  for (unsigned i = 0; i < 100'000 && !refused; ++i) refused = !network->send({}, frame);
  ASSERT_TRUE(refused);
  EXPECT_TRUE(reader.wait_for_writable());
}

TEST_F(UserNetworkTest, APortInUseIsAHostErrorThatNamesIt) {
  HostSocket taken;
  const auto opened = open_user_network({{true, "127.0.0.1", taken.port(), 7}});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().blame, Blame::kHost);
  EXPECT_THAT(opened.error().message, HasSubstr(std::to_string(taken.port())));
  EXPECT_THAT(opened.error().message, HasSubstr("in use"));
}

TEST_F(UserNetworkTest, PortsAreForwardedFromAddressesAlone) {
  const auto opened = open_user_network({{false, "localhost", 1, 1}});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().blame, Blame::kUsage);
}

}  // namespace
}  // namespace vireo::backends
