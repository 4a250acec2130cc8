// Sockets of messages: each arrives whole and by itself, or not at all.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "devices/virtio/vsock_world.h"

namespace vireo::devices::virtio {
namespace {

using vsock::Operation;

constexpr auto kRequest = static_cast<unsigned>(Operation::kRequest);
constexpr auto kResponse = static_cast<unsigned>(Operation::kResponse);
constexpr auto kReset = static_cast<unsigned>(Operation::kReset);
constexpr auto kShutdown = static_cast<unsigned>(Operation::kShutdown);
constexpr std::uint32_t kHost = 1234, kGuest = 99;

struct VsockMessagesTest : ::testing::Test, VsockWorld {
  vsock::Header message_header(Operation operation, std::uint32_t host = kHost,
                               std::uint32_t guest = kGuest) const {
    vsock::Header result = header(operation, host, guest);
    result.type = vsock::kMessages;
    return result;
  }
  void send_part(const std::string& data, std::uint32_t flags) {
    vsock::Header part = message_header(Operation::kData);
    part.flags = flags;
    send(part, data);
  }
  UniqueFd open_stream() {
    if (!listener) listener = listen(std::to_string(kHost), SOCK_SEQPACKET);
    send(message_header(Operation::kRequest));
    EXPECT_EQ(take_operation(), kResponse);
    return accept(listener);
  }
  /// Takes packets until one ends a message.
  std::string take_message() {
    std::string result;
    while (const auto packet = take()) {
      EXPECT_EQ(packet->header.type, vsock::kMessages);
      EXPECT_EQ(packet->header.operation, Operation::kData);
      result += packet->data;
      if (packet->header.flags == vsock::kEndOfMessage) return result;
      EXPECT_EQ(packet->header.flags, 0u);
    }
    return "no end after " + std::to_string(result.size()) + " bytes";
  }
  UniqueFd listener;
};

TEST_F(VsockMessagesTest, AMessageOfTheGuestArrivesWhenAllOfItIsThere) {
  start();
  const UniqueFd host = open_stream();
  send_part("one ", 0);
  EXPECT_EQ(receive_from(host), "none");
  send_part("message", vsock::kEndOfMessage);
  constexpr std::uint32_t kEndOfRecord = 2;
  send_part("and another", vsock::kEndOfMessage | kEndOfRecord);
  EXPECT_EQ(receive_from(host), "one message");
  EXPECT_EQ(receive_from(host), "and another");
  EXPECT_EQ(receive_from(host), "none");
}

TEST_F(VsockMessagesTest, AMessageOfTheHostKeepsItsEnd) {
  start();
  const UniqueFd host = open_stream();
  const std::string large(5000, 'x');
  say(host, "small");
  say(host, large);
  say(host, "last");
  settle();
  EXPECT_EQ(take_message(), "small");
  EXPECT_EQ(take_message(), large) << "in parts, by the driver's buffers";
  EXPECT_EQ(take_message(), "last");
  EXPECT_FALSE(take());
}

TEST_F(VsockMessagesTest, APartThatFillsTheCreditDoesNotEndTheMessage) {
  start();
  if (!listener) listener = listen(std::to_string(kHost), SOCK_SEQPACKET);
  vsock::Header request = message_header(Operation::kRequest);
  request.buffer_bytes = 100;
  send(request);
  EXPECT_EQ(take_operation(), kResponse);
  const UniqueFd host = accept(listener);
  say(host, std::string(60, 'a'));
  say(host, std::string(60, 'b'));
  settle();
  EXPECT_EQ(take_message(), std::string(60, 'a'));
  const auto part = take();
  ASSERT_TRUE(part);
  EXPECT_EQ(part->data, std::string(40, 'b'));
  EXPECT_EQ(part->header.flags, 0u);
  EXPECT_FALSE(take());
  vsock::Header credit = message_header(Operation::kCreditUpdate);
  credit.buffer_bytes = 100;
  credit.forwarded_bytes = 60;
  send(credit);
  EXPECT_EQ(take_message(), std::string(20, 'b'));
}

TEST_F(VsockMessagesTest, AMessageThatTheGuestHasNoRoomForEndsTheStream) {
  start();
  const UniqueFd host = open_stream();
  say(host, std::string(0x10001, 'x'));  // one more than the guest's buffer
  settle();
  EXPECT_EQ(take_operation(), kReset);
  EXPECT_THAT(receive_from(host), ::testing::AnyOf("end", "broken"));
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VsockMessagesTest, AMessageWithoutEndStopsAtTheGuestsCredit) {
  start();
  const UniqueFd host = open_stream();
  const std::string part(0x8000, 'x');
  for (unsigned i = 0; i < VsockStream::kBufferBytes / part.size(); ++i) send_part(part, 0);
  EXPECT_EQ(model->streams(), 1u);
  send_part("x", 0);
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VsockMessagesTest, EmptyMessagesAreNone) {
  start();
  const UniqueFd host = open_stream();
  for (int i = 0; i < 20; ++i) send_part("", vsock::kEndOfMessage);
  say(host, "");
  say(host, "a");
  say(host, "");
  settle();
  EXPECT_EQ(receive_from(host), "none");
  EXPECT_EQ(take_message(), "a");
  EXPECT_FALSE(take()) << "it is no end either";
  say(host, "");
  say(host, "b");
  ASSERT_EQ(::shutdown(host.get(), SHUT_WR), 0);
  settle();
  EXPECT_EQ(take_message(), "b");
  EXPECT_EQ(take_operation(), kShutdown);
}

TEST_F(VsockMessagesTest, AMessageThatTheGuestDoesNotEndIsLostWithTheStream) {
  start();
  const UniqueFd host = open_stream();
  send_part("whole", vsock::kEndOfMessage);
  send_part("cut", 0);
  vsock::Header end = message_header(Operation::kShutdown);
  end.flags = vsock::kSendsNoMore | vsock::kReceivesNoMore;
  send(end);
  EXPECT_EQ(receive_from(host), "whole");
  EXPECT_EQ(receive_from(host), "end");
  EXPECT_EQ(take_operation(), kReset);
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VsockMessagesTest, TheHostReachesAPortOfTheGuest) {
  start();
  const UniqueFd client = connect(SOCK_SEQPACKET);
  say(client, "CONNECT 80\n");
  say(client, "early");
  settle();
  const auto request = take();
  ASSERT_TRUE(request);
  EXPECT_EQ(static_cast<unsigned>(request->header.operation), kRequest);
  EXPECT_EQ(request->header.type, vsock::kMessages);
  const std::uint32_t port = request->header.source_port;
  send(message_header(Operation::kResponse, port, 80));
  EXPECT_EQ(receive_from(client), "OK " + std::to_string(port) + "\n");
  EXPECT_EQ(take_message(), "early");
}

TEST_F(VsockMessagesTest, AClientThatSaysNonsenseIsClosed) {
  start();
  for (const std::string line : {"CONNECT 80", "CONNECT 80\nx", "", "HELLO\n"}) {
    const UniqueFd client = connect(SOCK_SEQPACKET);
    say(client, line);
    settle();
    EXPECT_THAT(receive_from(client), ::testing::AnyOf("end", "broken")) << line;
  }
  EXPECT_EQ(model->streams(), 0u);
}

TEST_F(VsockMessagesTest, KindsDoNotMix) {
  start();
  const UniqueFd streams = listen("5"), messages = listen("6", SOCK_SEQPACKET);
  send(message_header(Operation::kRequest, 5));
  EXPECT_EQ(take_operation(), kReset);
  send(header(Operation::kRequest, 6, kGuest));
  EXPECT_EQ(take_operation(), kReset);
  const UniqueFd host = open_stream();
  send(header(Operation::kData, kHost, kGuest), "as a stream");
  const auto refusal = take();
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->header.operation, Operation::kReset);
  EXPECT_EQ(refusal->header.type, vsock::kStream);
  EXPECT_EQ(receive_from(host), "none");
  EXPECT_EQ(model->streams(), 1u);
}

TEST_F(VsockMessagesTest, ADriverThatDoesNotKnowThemHasNone) {
  start(kBufferCount, 0);
  const UniqueFd messages = listen(std::to_string(kHost), SOCK_SEQPACKET);
  send(message_header(Operation::kRequest));
  EXPECT_EQ(take_operation(), kReset);
  const UniqueFd client = connect(SOCK_SEQPACKET);
  settle();
  EXPECT_EQ(receive_from(client), "end");
}

std::size_t pages_in_use() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0, resident = 0;
  file >> all >> resident;
  return resident;
}

TEST(VsockOutgoing, DoesNotKeepWhatAReaderThatIsNeverQuiteDoneHasTaken) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  const UniqueFd near(ends[0]), far(ends[1]);
  VsockOutgoing outgoing(false);
  std::vector<std::byte> part(64 << 10), taken(64 << 10);
  while (!outgoing.waits()) {  // until the socket is full
    outgoing.put(part, false);
    ASSERT_TRUE(outgoing.flush(near.get()));
  }
  const std::size_t before = pages_in_use();
  std::uint64_t passed = 0;
  while (passed < 256u << 20) {
    const ssize_t count = ::recv(far.get(), taken.data(), taken.size(), 0);
    ASSERT_GT(count, 0);
    outgoing.put(std::span(part).first(static_cast<std::size_t>(count)), false);
    ASSERT_TRUE(outgoing.flush(near.get()));
    ASSERT_TRUE(outgoing.waits());
    passed += static_cast<std::uint64_t>(count);
  }
  EXPECT_LT(pages_in_use() - before, 4096u);
}

}  // namespace
}  // namespace vireo::devices::virtio
