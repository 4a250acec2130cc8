#include "devices/virtio/virtio_vsock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "devices/virtio/vsock_world.h"

namespace vireo::devices::virtio {
namespace {

using vsock::Operation;

constexpr auto kRequest = static_cast<unsigned>(Operation::kRequest);
constexpr auto kResponse = static_cast<unsigned>(Operation::kResponse);
constexpr auto kReset = static_cast<unsigned>(Operation::kReset);
constexpr auto kShutdown = static_cast<unsigned>(Operation::kShutdown);
constexpr auto kCreditUpdate = static_cast<unsigned>(Operation::kCreditUpdate);
constexpr std::uint32_t kHost = 1234, kGuest = 99;

struct VirtioVsockTest : ::testing::Test, VsockWorld {
  /// A stream from the guest to port kHost of the host; its end there.
  UniqueFd open_stream(std::uint32_t guest_port = kGuest) {
    if (!listener) listener = listen(std::to_string(kHost));
    send(header(Operation::kRequest, kHost, guest_port));
    EXPECT_EQ(take_operation(), kResponse);
    return accept(listener);
  }
  const char* error() const { return driver->card->device().driver_error(); }
  UniqueFd listener;
};

TEST_F(VirtioVsockTest, TheConfigurationHasTheGuestsAddress) {
  EXPECT_EQ(driver->load<std::uint64_t>(PciDriver::kModern + VirtioPci::kConfig), 7u);
  EXPECT_EQ(driver->load<std::uint32_t>(PciDriver::kModern + VirtioPci::kConfig + 8), 0u);
}

TEST_F(VirtioVsockTest, TheGuestReachesWhoListensAtAPort) {
  start();
  const UniqueFd host = open_stream();
  send(header(Operation::kData, kHost, kGuest), "hello");
  EXPECT_EQ(receive_from(host), "hello");
  say(host, "world");
  settle();
  const auto packet = take();
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->data, "world");
  EXPECT_EQ(packet->header.source_cid, vsock::kHostCid);
  EXPECT_EQ(packet->header.destination_cid, kCid);
  EXPECT_EQ(packet->header.source_port, kHost);
  EXPECT_EQ(packet->header.destination_port, kGuest);
  EXPECT_EQ(packet->header.forwarded_bytes, 5u);
}

TEST_F(VirtioVsockTest, APortWhereNobodyListensRefuses) {
  start();
  send(header(Operation::kRequest, 5, kGuest));
  const auto packet = take();
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->header.operation, Operation::kReset);
  EXPECT_EQ(packet->header.source_port, 5u);
  EXPECT_EQ(packet->header.destination_port, kGuest);
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VirtioVsockTest, TheHostReachesAPortOfTheGuest) {
  start();
  const UniqueFd client = connect();
  say(client, "CONNE");
  settle();
  EXPECT_EQ(take_operation(), 0u) << "the line has no end yet";
  say(client, "CT 80\nearly");
  settle();
  const auto request = take();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->header.operation, Operation::kRequest);
  EXPECT_EQ(request->header.destination_port, 80u);
  const std::uint32_t port = request->header.source_port;
  EXPECT_GE(port, VirtioVsock::kFirstHostPort);
  EXPECT_EQ(receive_from(client), "none");
  send(header(Operation::kResponse, port, 80));
  EXPECT_EQ(receive_from(client), "OK " + std::to_string(port) + "\n");
  EXPECT_EQ(take()->data, "early");
  send(header(Operation::kData, port, 80), "answer");
  EXPECT_EQ(receive_from(client), "answer");
}

TEST_F(VirtioVsockTest, AClientThatTheGuestRefusesIsClosed) {
  start();
  const UniqueFd client = connect();
  say(client, "CONNECT 80\n");
  settle();
  const std::uint32_t port = take()->header.source_port;
  send(header(Operation::kReset, port, 80));
  EXPECT_EQ(receive_from(client), "end");
}

TEST_F(VirtioVsockTest, AClientThatSaysNonsenseIsClosed) {
  start();
  for (const std::string line : {"HELLO\n", "CONNECT \n", "CONNECT x\n", "CONNECT 4294967296\n",
                                 "CONNECT 80 \n", "0123456789012345678901234567890123456789"}) {
    const UniqueFd client = connect();
    say(client, line);
    settle();
    EXPECT_THAT(receive_from(client), ::testing::AnyOf("end", "broken")) << line;
  }
  EXPECT_EQ(take_operation(), 0u);
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VirtioVsockTest, WithoutADriverClientsComeInVain) {
  const UniqueFd client = connect();
  settle();
  EXPECT_EQ(receive_from(client), "end");
}

TEST_F(VirtioVsockTest, EachDirectionEndsByItself) {
  start();
  const UniqueFd host = open_stream();
  auto end = header(Operation::kShutdown, kHost, kGuest);
  end.flags = vsock::kSendsNoMore;
  send(header(Operation::kData, kHost, kGuest), "last words");
  send(end);
  EXPECT_EQ(receive_from(host), "last words");
  EXPECT_EQ(receive_from(host), "end");
  say(host, "still here");
  settle();
  EXPECT_EQ(take()->data, "still here");
  ::shutdown(host.get(), SHUT_WR);
  settle();
  EXPECT_EQ(take_operation(), kShutdown);
  EXPECT_EQ(take_operation(), kReset) << "both have ended";
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VirtioVsockTest, AHostThatEndsFirstStillHearsTheGuest) {
  start();
  const UniqueFd host = open_stream();
  ::shutdown(host.get(), SHUT_WR);
  settle();
  const auto packet = take();
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->header.operation, Operation::kShutdown);
  EXPECT_EQ(packet->header.flags, vsock::kSendsNoMore);
  send(header(Operation::kData, kHost, kGuest), "answer");
  EXPECT_EQ(receive_from(host), "answer");
}

TEST_F(VirtioVsockTest, AGuestThatClosesIsAnswered) {
  start();
  const UniqueFd host = open_stream();
  auto end = header(Operation::kShutdown, kHost, kGuest);
  end.flags = vsock::kSendsNoMore | vsock::kReceivesNoMore;
  send(end);
  EXPECT_EQ(take_operation(), kReset);
  EXPECT_EQ(receive_from(host), "end");
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VirtioVsockTest, AGuestThatResetsEndsTheStreamAtOnce) {
  start();
  const UniqueFd host = open_stream();
  send(header(Operation::kReset, kHost, kGuest));
  EXPECT_EQ(receive_from(host), "end");
  EXPECT_EQ(take_operation(), 0u) << "a reset is not answered";
}

TEST_F(VirtioVsockTest, TheHostIsHeardOnlyAsFarAsTheGuestHasRoom) {
  start();
  const UniqueFd host = open_stream();
  auto credit = header(Operation::kCreditUpdate, kHost, kGuest);
  credit.buffer_bytes = 10;
  send(credit);
  say(host, "0123456789abcdef");
  settle();
  EXPECT_EQ(take()->data, "0123456789");
  EXPECT_EQ(take_operation(), 0u);
  credit.forwarded_bytes = 4;
  send(credit);
  EXPECT_EQ(take()->data, "abcd");
  credit.forwarded_bytes = 2;  // back again: it has 14 under way of 10
  send(credit);
  EXPECT_EQ(take_operation(), 0u);
  credit.forwarded_bytes = 14;
  send(credit);
  EXPECT_EQ(take()->data, "ef");
}

TEST_F(VirtioVsockTest, TheGuestIsStoppedWhereTheHostDoesNotRead) {
  start();
  const UniqueFd host = open_stream();
  const std::string piece(0x8000, 'x');
  std::size_t sent = 0;
  bool refused = false;
  // It does not look at its credit.
  while (!refused && sent < (64u << 20)) {
    send(header(Operation::kData, kHost, kGuest), piece);
    sent += piece.size();
    while (const auto packet = take()) refused |= packet->header.operation == Operation::kReset;
  }
  EXPECT_TRUE(refused);
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VirtioVsockTest, TheGuestHearsThatItMaySendMore) {
  start();
  const UniqueFd host = open_stream();
  std::size_t sent = 0, told = 0, got = 0;
  const std::string piece(0x8000, 'x');
  for (int i = 0; i < 64; ++i) {
    while (sent - told + piece.size() > VsockStream::kBufferBytes) {
      const std::string part = receive_from(host);
      ASSERT_NE(part, "none") << "neither data nor credit";
      got += part.size();
      settle();
      while (const auto packet = take()) {
        EXPECT_EQ(packet->header.operation, Operation::kCreditUpdate);
        EXPECT_EQ(packet->header.buffer_bytes, VsockStream::kBufferBytes);
        told = packet->header.forwarded_bytes;
      }
    }
    send(header(Operation::kData, kHost, kGuest), piece);
    sent += piece.size();
  }
  EXPECT_EQ(model->streams(), 1u);
  EXPECT_GT(got, 0u);
}

TEST_F(VirtioVsockTest, AGuestThatClosesHasWhatItSentDelivered) {
  start();
  const UniqueFd host = open_stream();
  const std::string piece(0x8000, 'x');
  std::size_t sent = 0, told = 0, got = 0;
  while (sent - told + piece.size() <= VsockStream::kBufferBytes) {
    send(header(Operation::kData, kHost, kGuest), piece);
    sent += piece.size();
    while (const auto packet = take()) told = packet->header.forwarded_bytes;
  }
  auto end = header(Operation::kShutdown, kHost, kGuest);
  end.flags = vsock::kSendsNoMore | vsock::kReceivesNoMore;
  send(end);
  EXPECT_EQ(take_operation(), 0u) << "not all is delivered";
  for (std::string part; part != "end"; part = receive_from(host)) {
    ASSERT_NE(part, "none");
    got += part.size();
    settle();
  }
  EXPECT_EQ(got, sent);
  unsigned last = 0;
  while (const unsigned operation = take_operation()) last = operation;
  EXPECT_EQ(last, kReset);
}

TEST_F(VirtioVsockTest, AStreamThatEndsWhileItWaitsForABufferIsForgotten) {
  start(1);
  listener = listen(std::to_string(kHost));
  send(header(Operation::kRequest, kHost, kGuest));
  EXPECT_EQ(take(false)->header.operation, Operation::kResponse);
  const UniqueFd host = accept(listener);
  say(host, "too late");
  settle();
  send(header(Operation::kReset, kHost, kGuest));
  offer_buffer();
  settle();
  EXPECT_EQ(take_operation(), 0u);
}

TEST_F(VirtioVsockTest, AskedForCreditTheDeviceTells) {
  start();
  const UniqueFd host = open_stream();
  send(header(Operation::kCreditRequest, kHost, kGuest));
  EXPECT_EQ(take_operation(), kCreditUpdate);
}

TEST_F(VirtioVsockTest, ManyStreamsTakeTurns) {
  start(2);
  std::vector<UniqueFd> hosts;
  for (std::uint32_t i = 0; i < 20; ++i) hosts.push_back(open_stream(100 + i));
  for (const UniqueFd& host : hosts) say(host, std::string(5000, 'y'));
  settle();
  std::map<std::uint32_t, std::size_t> got;
  std::vector<std::uint32_t> order;
  while (const auto packet = take()) {
    got[packet->header.destination_port] += packet->data.size();
    order.push_back(packet->header.destination_port);
  }
  EXPECT_EQ(got.size(), 20u);
  for (const auto& [port, bytes] : got) EXPECT_EQ(bytes, 5000u) << port;
  EXPECT_EQ(std::set<std::uint32_t>(order.begin(), order.begin() + 40).size(), 20u);
}

TEST_F(VirtioVsockTest, StreamsHaveAnEnd) {
  start();
  listener = listen(std::to_string(kHost));
  std::vector<UniqueFd> hosts;
  for (std::uint32_t i = 0; i < VirtioVsock::kMostStreams; ++i) {
    send(header(Operation::kRequest, kHost, i));
    ASSERT_EQ(take_operation(), kResponse) << i;
    hosts.push_back(accept(listener));
  }
  send(header(Operation::kRequest, kHost, 10000));
  EXPECT_EQ(take_operation(), kReset);
  hosts.clear();
}

TEST_F(VirtioVsockTest, ADriverWithoutBuffersIsNotHeardForEver) {
  start(0);
  unsigned answered = 0;
  for (unsigned i = 0; i < VirtioVsock::kMostAnswers + 16; ++i) {
    send(header(Operation::kRequest, 5, i));
    while (transmit->take_used()) ++answered;
  }
  EXPECT_EQ(answered, VirtioVsock::kMostAnswers);
  for (unsigned i = 0; i < 32; ++i) offer_buffer();
  settle();
  unsigned resets = 0;
  while (take(false)) ++resets;
  EXPECT_EQ(resets, 32u);
  while (transmit->take_used()) ++answered;
  EXPECT_EQ(answered, VirtioVsock::kMostAnswers + 16);
}

TEST_F(VirtioVsockTest, PacketsOfOrToOthersAreDropped) {
  start();
  auto wrong = header(Operation::kRequest, kHost, kGuest);
  wrong.source_cid = 8;
  send(wrong);
  wrong.source_cid = kCid, wrong.destination_cid = 3;
  send(wrong);
  EXPECT_EQ(take_operation(), 0u);
  wrong.destination_cid = vsock::kHostCid, wrong.type = 2;
  send(wrong);
  const auto packet = take();
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->header.operation, Operation::kReset) << "no other type of sockets is there";
  EXPECT_EQ(packet->header.type, 2);
  EXPECT_EQ(error(), nullptr);
}

TEST_F(VirtioVsockTest, WhatMakesNoSenseEndsTheStreamOnly) {
  start();
  for (const unsigned operation : {0u, kRequest, kResponse, 8u, 0xffffu}) {
    const UniqueFd host = open_stream();
    send(header(static_cast<Operation>(operation), kHost, kGuest));
    EXPECT_EQ(take_operation(), kReset) << operation;
    EXPECT_EQ(model->streams(), 0u);
  }
  send(header(Operation::kData, kHost, kGuest), "to nobody");
  EXPECT_EQ(take_operation(), kReset);
  const UniqueFd host = open_stream();
  auto end = header(Operation::kShutdown, kHost, kGuest);
  end.flags = vsock::kSendsNoMore;
  send(end);
  send(header(Operation::kData, kHost, kGuest), "after the end");
  EXPECT_EQ(take_operation(), kReset);
  EXPECT_EQ(error(), nullptr);
}

TEST_F(VirtioVsockTest, PacketsThatAreNoneNeedAReset) {
  start();
  transmit->offer({{kPackets, 43}});
  driver->notify(VirtioVsock::kTransmit);
  settle();
  EXPECT_NE(error(), nullptr);
  driver->set_common<std::uint8_t>(20, 0);
  start();
  auto longer = header(Operation::kData, kHost, kGuest);
  longer.length = 1;
  offer_packet(longer);
  settle();
  EXPECT_NE(error(), nullptr);
}

TEST_F(VirtioVsockTest, AResetClosesEverything) {
  start();
  const UniqueFd host = open_stream(), client = connect();
  say(client, "CONN");
  settle();
  driver->set_common<std::uint8_t>(20, 0);
  EXPECT_EQ(model->streams(), 0u);
  EXPECT_EQ(receive_from(host), "end");
  EXPECT_EQ(receive_from(client), "end");
  start();
  EXPECT_EQ(model->streams(), 0u);
}

TEST(SocketFolderTest, OneProgramHasAFolder) {
  std::string pattern = ::testing::TempDir() + "/vireo-vsock-XXXXXX";
  const std::string path = ::mkdtemp(pattern.data());
  EXPECT_FALSE(backends::SocketFolder::open(path + "/missing"));
  {
    const auto first = backends::SocketFolder::open(path);
    ASSERT_TRUE(first) << first.error().message;
    const auto second = backends::SocketFolder::open(path);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().message, ::testing::HasSubstr("in use"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(path));
  EXPECT_TRUE(backends::SocketFolder::open(path));
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace vireo::devices::virtio
