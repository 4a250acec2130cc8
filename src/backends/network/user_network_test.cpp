#include "backends/network/user_network.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <csignal>

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

/// "question" from a port of 10.0.2.15 to one of 10.0.2.2, without checksum over UDP.
FrameBytes datagram(std::uint16_t from, std::uint16_t to) {
  const std::string text = "question";
  FrameBytes frame = text_frame({0x52, 0x55, 10, 0, 2, 2}, kGuest, "");
  frame[12] = std::byte{8}, frame[13] = std::byte{0};
  const auto headers = bytes_of({0x45,      0,           0,       36,        0, 0,  0,  0, 64, 17,
                                 0x62,      0xb9,        10,      0,         2, 15, 10, 0, 2,  2,
                                 from >> 8, from & 0xff, to >> 8, to & 0xff, 0, 16, 0,  0});
  frame.insert(frame.end(), headers.begin(), headers.end());
  for (const char letter : text) frame.push_back(std::byte(letter));
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
  /// From which port, and what.
  std::pair<std::uint16_t, std::string> receive() {
    std::string text(100, '\0');
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    pollfd polled{fd.get(), POLLIN, 0};
    if (::poll(&polled, 1, 60'000) != 1) return {};
    const ssize_t bytes = ::recvfrom(fd.get(), text.data(), text.size(), 0,
                                     reinterpret_cast<sockaddr*>(&from), &size);
    text.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    return {ntohs(from.sin_port), text};
  }
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
    const auto patience = std::chrono::milliseconds(bytes > 40'000 ? 500 : 60'000);
    const auto frame = reader.take(patience).second;
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

TEST_F(UserNetworkTest, AFrameIsAnsweredByWhoSendsIt) {
  open();
  // Unless the network's own thread has something to do just then.
  bool by_sender = false;
  for (unsigned i = 0; i < 100 && !by_sender; ++i) {
    answer_arp();
    by_sender = reader.last_thread() == std::this_thread::get_id();
  }
  EXPECT_TRUE(by_sender);
}

TEST_F(UserNetworkTest, AConnectionThatTheHostGivesUpEndsNobodyWhoSends) {
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  open();
  struct sigaction now = {};
  EXPECT_EQ(::sigaction(SIGPIPE, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, SIG_IGN);
  std::signal(SIGPIPE, before);
}

TEST_F(UserNetworkTest, SocketsThatASentFrameHasOpenedAreLookedAtAtOnce) {
  open();
  answer_arp();
  HostSocket host;
  std::vector<std::chrono::steady_clock::duration> took;
  for (int i = 0; i < 5; ++i) {
    // The thread sleeps by now, and knows of no socket from which an answer could come.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ASSERT_TRUE(network->send({}, datagram(static_cast<std::uint16_t>(1000 + i), host.port())));
    const auto [from, text] = host.receive();
    EXPECT_EQ(text, "question");
    host.send_to(from, "answer");
    const auto before = std::chrono::steady_clock::now();
    EXPECT_FALSE(find("answer").empty());
    took.push_back(std::chrono::steady_clock::now() - before);
  }
  // The median: a busy host delays some of them.
  std::ranges::nth_element(took, took.begin() + 2);
  EXPECT_LT(took[2], std::chrono::milliseconds(400));
}

/// A card in which whoever brings a frame stays until it may go on.
struct GateReader final : NetworkReader {
  bool receive(const FrameHeader&, std::span<const std::byte>) override {
    std::unique_lock lock(mutex);
    ++inside;
    changed.notify_all();
    changed.wait_for(lock, std::chrono::seconds(60), [this] { return open; });
    return true;
  }
  void on_writable() override {
    const std::lock_guard lock(mutex);
    writable = true;
    changed.notify_all();
  }
  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(60), condition);
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
  std::mutex mutex;
  std::condition_variable changed;
  unsigned inside = 0;
  bool open = true, writable = false;
};

TEST(UserNetworkGateTest, AGuestThatSendsWhileTheNetworkIsBusyIsHeldUp) {
  GateReader reader;
  const std::uint16_t port = free_port();
  auto opened = open_user_network({{true, "127.0.0.1", port, 7}});
  ASSERT_TRUE(opened) << opened.error().message;
  NetworkBackend& network = **opened;
  network.start(reader);
  ASSERT_TRUE(network.send({}, arp_request(2)));
  ASSERT_TRUE(reader.wait([&] { return reader.inside != 0; }));
  {
    const std::lock_guard lock(reader.mutex);
    reader.inside = 0, reader.open = false;
  }
  HostSocket host;
  host.send_to(port, "datagram");
  ASSERT_TRUE(reader.wait([&] { return reader.inside != 0; }));
  const FrameBytes frame = text_frame(kAll, kGuest, std::string(60000, 'x'));
  bool refused = false;
  for (unsigned i = 0; i < 100 && !refused; ++i) refused = !network.send({}, frame);
  EXPECT_TRUE(refused);
  EXPECT_FALSE(reader.writable);
  reader.let_go();
  EXPECT_TRUE(reader.wait([&] { return reader.writable; }));
  network.stop();
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
