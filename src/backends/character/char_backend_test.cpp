#include "backends/character/char_backend.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "backends/character/escape_filter.h"
#include "backends/character/memory_backend.h"
#include "backends/character/output_queue.h"
#include "base/unique_fd.h"

namespace vireo::backends {
namespace {

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
std::string file_content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
/// What an event loop does.
void run_loop(CharBackend& backend, int rounds = 20) {
  for (int i = 0; i < rounds; ++i) {
    pollfd ready{backend.poll_fd(), POLLIN, 0};
    if (::poll(&ready, 1, 20) <= 0) return;
    backend.on_readable();
  }
}
std::string read_available(int fd) {
  std::string result(65536, '\0');
  const auto size = ::read(fd, result.data(), result.size());
  result.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return result;
}

struct TempDir {
  TempDir() {
    char name[] = "/tmp/vireo-char-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

struct EscapeFilterTest : ::testing::Test {
  std::string pass(std::string_view typed) {
    std::vector<std::uint8_t> bytes(typed.begin(), typed.end());
    filter.filter(bytes);
    return {bytes.begin(), bytes.end()};
  }
  int quits = 0, helps = 0, breaks = 0;
  EscapeFilter filter{{[this] { ++quits; }, [this] { ++helps; }, [this] { ++breaks; }}};
};

TEST_F(EscapeFilterTest, TakesCommandsOutAndLeavesTheRest) {
  EXPECT_EQ(pass("a\x01hb\x01"
                 "Bc\x01xd"),
            "abcd");
  EXPECT_EQ(quits, 1);
  EXPECT_EQ(helps, 1);
  EXPECT_EQ(breaks, 1);
}

TEST_F(EscapeFilterTest, CtrlATwiceIsOneCtrlA) {
  EXPECT_EQ(pass("\x01\x01"), "\x01");
  EXPECT_EQ(pass("\x01"
                 "a"),
            "\x01");
  EXPECT_EQ(pass("\x01z"), "\x01z");
}

TEST_F(EscapeFilterTest, ACommandMayArriveInTwoPieces) {
  EXPECT_EQ(pass("ls\x01"), "ls");
  EXPECT_EQ(quits, 0);
  EXPECT_EQ(pass("x"), "");
  EXPECT_EQ(quits, 1);
}

TEST(OpenCharBackend, TellsWhatItKnowsWhenItDoesNotKnow) {
  const auto result = open_char_backend("telnet:1234");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().blame, Blame::kUsage);
  EXPECT_NE(result.error().message.find("unix:PATH"), std::string::npos);
  EXPECT_TRUE(open_char_backend("none"));
  EXPECT_FALSE(open_char_output("pty"));
}

TEST(FileBackend, KeepsEveryByteAndReplacesAnOldFile) {
  TempDir dir;
  const auto path = dir.path / "log";
  std::ofstream(path) << "something old that is longer";
  auto backend = open_char_backend("file:" + path.string());
  ASSERT_TRUE(backend);
  EXPECT_EQ((*backend)->poll_fd(), -1);
  (*backend)->write(bytes_of("hello "));
  (*backend)->write(bytes_of("world"));
  EXPECT_EQ(file_content(path), "hello world");
}

TEST(FileBackend, SaysWhyAFileCannotBeWritten) {
  const auto result = open_char_backend("file:/nonexistent/log");
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("/nonexistent/log"), std::string::npos);
}

TEST(OutputQueue, KeepsWhatASlowPipeDoesNotTakeAndDeliversItAll) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const UniqueFd reader(fds[0]), writer(fds[1]);
  OutputQueue queue(WhenFull::kWait);
  queue.connect(writer.get());
  std::string sent;
  for (int i = 0; i < 20000; ++i) sent += "line " + std::to_string(i) + "\n";
  EXPECT_TRUE(queue.write(bytes_of(sent)));
  std::string received;
  std::thread consumer([&] {
    while (received.size() < sent.size()) received += read_available(reader.get());
  });
  queue.flush();
  consumer.join();
  EXPECT_EQ(received, sent);
  EXPECT_FALSE(queue.pump());
}

TEST(OutputQueue, LeavesThePipeOfOthersBlocking) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const UniqueFd reader(fds[0]), writer(fds[1]);
  OutputQueue queue(WhenFull::kWait);
  queue.connect(writer.get());
  EXPECT_EQ(::fcntl(writer.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(OutputQueue, AStuckReaderDelaysTheWriterOnlyOnce) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const UniqueFd reader(fds[0]), writer(fds[1]);
  OutputQueue queue(WhenFull::kWait, 100);
  queue.connect(writer.get());
  const std::string block(1 << 16, 'x');  // fills the pipe
  queue.write(bytes_of(block));
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) queue.write(bytes_of("0123456789"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(50));
  read_available(reader.get());
  EXPECT_FALSE(queue.pump());
  queue.write(bytes_of("again"));
  const std::string rest = read_available(reader.get());
  EXPECT_EQ(rest.substr(rest.size() - 5), "again");
}

TEST(OutputQueue, AReaderThatIsGoneIsNoError) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const UniqueFd writer(fds[1]);
  ::close(fds[0]);
  ignore_sigpipe();
  OutputQueue queue(WhenFull::kWait);
  queue.connect(writer.get());
  EXPECT_FALSE(queue.write(bytes_of("into the void")));
  EXPECT_FALSE(queue.write(bytes_of("again")));
}

TEST(OutputQueue, WithoutAReaderKeepsTheNewest) {
  OutputQueue queue(WhenFull::kDropOldest, 8);
  for (char c : std::string("abcdefghijkl")) queue.write(bytes_of({&c, 1}));
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const UniqueFd reader(fds[0]), writer(fds[1]);
  queue.connect(writer.get());
  EXPECT_EQ(read_available(reader.get()), "efghijkl");
}

struct SocketBackendTest : ::testing::Test {
  UniqueFd client() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  void SetUp() override {
    auto opened = open_char_backend("unix:" + path);
    ASSERT_TRUE(opened) << opened.error().message;
    backend = std::move(*opened);
    backend->set_reader([this](std::span<const std::uint8_t> bytes) {
      const auto taken = bytes.first(std::min(bytes.size(), room));
      received.append(taken.begin(), taken.end());
      room -= taken.size();
      return taken.size();
    });
  }
  TempDir dir;
  std::string path = dir.path / "serial";
  std::unique_ptr<CharBackend> backend;
  std::string received;
  std::size_t room = 1 << 20;
};

TEST_F(SocketBackendTest, CarriesBothDirectionsAndSurvivesADisconnect) {
  for (const std::string text : {"first", "second"}) {
    UniqueFd peer = client();
    ASSERT_EQ(::write(peer.get(), text.data(), text.size()), static_cast<long>(text.size()));
    run_loop(*backend);
    EXPECT_EQ(received, text);
    received.clear();
    backend->write(bytes_of("echo " + text));
    EXPECT_EQ(read_available(peer.get()), "echo " + text);
    peer = UniqueFd();
    run_loop(*backend);
  }
}

TEST_F(SocketBackendTest, AClientThatComesLateReadsWhatWasSaidBefore) {
  backend->write(bytes_of("booting\n"));
  const UniqueFd peer = client();
  run_loop(*backend);
  EXPECT_EQ(read_available(peer.get()), "booting\n");
}

TEST_F(SocketBackendTest, WhatTheReaderRefusesComesAgainInOrder) {
  const UniqueFd peer = client();
  room = 3;
  ASSERT_EQ(::write(peer.get(), "0123456789", 10), 10);
  run_loop(*backend);
  EXPECT_EQ(received, "012");
  pollfd quiet{backend->poll_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&quiet, 1, 0), 0) << "a full reader must not keep the event loop busy";
  room = 100;
  backend->resume_input();
  run_loop(*backend);
  EXPECT_EQ(received, "0123456789");
}

TEST_F(SocketBackendTest, RemovesItsFileAtTheEndAndTakesOverAnAbandonedOne) {
  EXPECT_FALSE(open_char_backend("unix:" + path)) << "still in use";
  const auto copy = dir.path / "abandoned";
  std::filesystem::rename(path, copy);
  backend.reset();
  EXPECT_TRUE(std::filesystem::exists(copy));
  backend = std::move(*open_char_backend("unix:" + copy.string()));
  backend.reset();
  EXPECT_FALSE(std::filesystem::exists(copy));
}

TEST_F(SocketBackendTest, NeverTouchesAFileThatIsNoSocket) {
  const auto file = dir.path / "precious";
  std::ofstream(file) << "data";
  EXPECT_FALSE(open_char_backend("unix:" + file.string()));
  EXPECT_EQ(file_content(file), "data");
}

TEST(MemoryBackend, OffersAgainWhatWasRefused) {
  MemoryBackend backend;
  std::string received;
  backend.set_reader([&](std::span<const std::uint8_t> bytes) {
    received += static_cast<char>(bytes[0]);
    return std::size_t{1};
  });
  backend.send("xy");
  backend.on_readable();
  EXPECT_EQ(received, "x");
  backend.resume_input();
  backend.on_readable();
  EXPECT_EQ(received, "xy");
  EXPECT_EQ(backend.undelivered(), 0u);
}

}  // namespace
}  // namespace vireo::backends
