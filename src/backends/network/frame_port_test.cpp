#include "backends/network/frame_port.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <ctime>

#include "backends/network/recording_reader_fake.h"

namespace vireo::backends {
namespace {

constexpr MacAddress kHere{2, 0, 0, 0, 0, 1}, kThere{2, 0, 0, 0, 0, 2};

class SocketPort final : public FramePort {
 public:
  explicit SocketPort(UniqueFd fd) : FramePort(std::move(fd), *WakeEvent::create(), true) {}
  ~SocketPort() override { stop(); }
  std::string name() const override { return "socket"; }
  void offer_connection(UniqueFd fd) {
    const std::lock_guard lock(mutex_);
    next_ = std::move(fd);
  }

 private:
  UniqueFd reconnect() override {
    const std::lock_guard lock(mutex_);
    return std::move(next_);
  }
  std::mutex mutex_;
  UniqueFd next_;
};

std::pair<UniqueFd, UniqueFd> connection() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

struct FramePortTest : ::testing::Test {
  FramePortTest() {
    auto [near, far] = connection();
    other = std::move(far);
    port = std::make_unique<SocketPort>(std::move(near));
    port->start(reader);
  }
  void write_to(const UniqueFd& fd, const std::string& text) {
    FrameBytes message(sizeof(FrameHeader));
    const FrameBytes frame = text_frame(kHere, kThere, text);
    message.insert(message.end(), frame.begin(), frame.end());
    EXPECT_EQ(::send(fd.get(), message.data(), message.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(message.size()));
  }
  UniqueFd other;
  RecordingReader reader;
  std::unique_ptr<SocketPort> port;
};

TEST_F(FramePortTest, FramesPassInBothDirectionsWithTheirHeaders) {
  FrameHeader header{.flags = 1, .checksum_start = 34};
  ASSERT_TRUE(port->send(header, text_frame(kThere, kHere, "hello")));
  FrameBytes message(100);
  ASSERT_EQ(::recv(other.get(), message.data(), message.size(), 0), 12 + 14 + 5);
  FrameHeader got;
  std::memcpy(&got, message.data(), sizeof(got));
  EXPECT_EQ(got, header);
  write_to(other, "answer");
  EXPECT_EQ(text_of(reader.take().second), "answer");
}

TEST_F(FramePortTest, AReaderWithoutRoomGetsTheSameFrameAgainAndNothingIsRead) {
  reader.set_full(true);
  write_to(other, "first");
  ASSERT_TRUE(reader.wait_for_offers(1));
  for (int i = 0; i < 20; ++i) write_to(other, "later");
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 20) << "nor is a processor kept busy";
  EXPECT_EQ(reader.offers(), 1u);
  port->resume();
  ASSERT_TRUE(reader.wait_for_offers(2));
  reader.set_full(false);
  port->resume();
  EXPECT_EQ(text_of(reader.take().second), "first");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(text_of(reader.take().second), "later");
}

TEST_F(FramePortTest, AFullSocketRefusesFramesUntilItHasRoom) {
  const FrameBytes frame = text_frame(kThere, kHere, std::string(60000, 'x'));
  unsigned sent = 0;
  while (sent < 1000 && port->send({}, frame)) ++sent;
  ASSERT_LT(sent, 1000u);
  FrameBytes message(70000);
  while (::recv(other.get(), message.data(), message.size(), 0) > 0) {
  }
  EXPECT_TRUE(reader.wait_for_writable());
  EXPECT_TRUE(port->send({}, frame));
}

TEST_F(FramePortTest, AConnectionThatIsLostIsReplaced) {
  auto [near, far] = connection();
  other = UniqueFd();
  port->offer_connection(std::move(near));
  EXPECT_TRUE(reader.wait_for_writable());
  write_to(far, "again");
  EXPECT_EQ(text_of(reader.take().second), "again");
}

TEST_F(FramePortTest, StopsWhileAFrameIsHeld) {
  reader.set_full(true);
  write_to(other, "held");
  ASSERT_TRUE(reader.wait_for_offers(1));
  port->stop();
  EXPECT_EQ(reader.offers(), 1u);
}

}  // namespace
}  // namespace vireo::backends
