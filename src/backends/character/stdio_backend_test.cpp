#include "backends/character/stdio_backend.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

#include "backends/character/raw_terminal.h"
#include "base/unique_fd.h"

namespace vireo::backends {
namespace {

/// Runs `body` in a process of its own whose standard input and output are these.
pid_t start(int input, int output, const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::dup2(input, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  body();
  ::_exit(0);
}
int exit_status(pid_t pid) {
  int status = -1;
  ::waitpid(pid, &status, 0);
  return status;
}

/// A machine in miniature: echoes until it is told to quit or has read `until`.
void echo_until(const std::string& until) {
  bool quit = false;
  std::string seen;
  auto backend = open_stdio_backend({.quit = [&] { quit = true; }});
  if (!backend) ::_exit(9);
  CharBackend& port = **backend;
  port.set_reader([&](std::span<const std::uint8_t> bytes) {
    seen.append(bytes.begin(), bytes.end());
    port.write(bytes);
    return bytes.size();
  });
  for (int i = 0; i < 300 && !quit && (until.empty() || !seen.ends_with(until)); ++i) {
    pollfd ready{port.poll_fd(), POLLIN, 0};
    if (::poll(&ready, 1, 10) > 0) port.on_readable();
  }
  backend->reset();
  ::_exit(quit ? 7 : 0);
}

struct Pipes {
  Pipes() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    read_end = UniqueFd(fds[0]);
    write_end = UniqueFd(fds[1]);
  }
  UniqueFd read_end, write_end;
};
std::string read_to_end(int fd) {
  std::string result;
  std::array<char, 4096> part{};
  for (long size; (size = ::read(fd, part.data(), part.size())) > 0;)
    result.append(part.data(), static_cast<std::size_t>(size));
  return result;
}

TEST(StdioBackend, WorksWithPipesAndQuitsOnCtrlAX) {
  Pipes input, output;
  const pid_t child = start(input.read_end.get(), output.write_end.get(), [] { echo_until(""); });
  output.write_end = UniqueFd();
  ASSERT_EQ(::write(input.write_end.get(), "hello\x01x", 7), 7);
  EXPECT_EQ(read_to_end(output.read_end.get()), "hello");
  EXPECT_EQ(WEXITSTATUS(exit_status(child)), 7);
}

TEST(StdioBackend, ReadsAFileOnStandardInputAndOutlivesItsEnd) {
  Pipes output;
  std::FILE* file = std::tmpfile();
  std::string text(10000, 'a');
  text += "end";
  std::fputs(text.c_str(), file);
  std::rewind(file);
  const pid_t child = start(::fileno(file), output.write_end.get(), [] { echo_until("end"); });
  output.write_end = UniqueFd();
  EXPECT_EQ(read_to_end(output.read_end.get()), text);
  EXPECT_EQ(exit_status(child), 0);
  std::fclose(file);
}

TEST(StdioBackend, AClosedStandardInputIsNoProblem) {
  Pipes output;
  const pid_t child = start(STDIN_FILENO, output.write_end.get(), [] {
    ::close(STDIN_FILENO);
    auto backend = open_stdio_backend({});
    if (!backend) ::_exit(9);
    const std::string text = "still talking";
    (*backend)->write({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    (*backend)->on_readable();
    backend->reset();
  });
  output.write_end = UniqueFd();
  EXPECT_EQ(read_to_end(output.read_end.get()), "still talking");
  EXPECT_EQ(exit_status(child), 0);
}

/// A terminal whose other side the test holds.
struct RawTerminalTest : ::testing::Test {
  void SetUp() override {
    master = UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(master && ::grantpt(master.get()) == 0 && ::unlockpt(master.get()) == 0);
    slave = UniqueFd(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(slave);
  }
  /// A session leader, usually with this as its controlling terminal, in raw mode; then `body`.
  pid_t start_raw(const std::function<void()>& body, bool controlling = true) {
    return start(slave.get(), slave.get(), [&, controlling] {
      ::setsid();
      if (controlling) ::ioctl(STDIN_FILENO, TIOCSCTTY, 0);
      for (const int signal : {SIGTERM, SIGSEGV, SIGINT, SIGTSTP, SIGCONT})
        ::signal(signal, SIG_DFL);
      const RawTerminal terminal(STDIN_FILENO);
      body();
    });
  }
  bool raw() const {
    termios mode{};
    ::tcgetattr(slave.get(), &mode);
    return (mode.c_lflag & (ICANON | ECHO | ISIG)) == 0;
  }
  bool becomes_raw(bool wanted) const {
    for (int i = 0; i < 12000 && raw() != wanted; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return raw() == wanted;
  }
  static void sleep_long() {
    for (int i = 0; i < 1000; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  static void wait_for_a_key() {
    char key = 0;
    EXPECT_EQ(::read(STDIN_FILENO, &key, 1), 1);
  }
  void press_a_key() const { EXPECT_EQ(::write(master.get(), "x", 1), 1); }
  UniqueFd master, slave;
};

TEST_F(RawTerminalTest, IsRestoredWhenItIsDestroyed) {
  const pid_t child = start_raw(wait_for_a_key);
  EXPECT_TRUE(becomes_raw(true));
  press_a_key();
  exit_status(child);
  EXPECT_FALSE(raw());
}

TEST_F(RawTerminalTest, IsRestoredAtExit) {
  const pid_t child = start_raw([] {
    wait_for_a_key();
    std::exit(3);
  });
  EXPECT_TRUE(becomes_raw(true));
  press_a_key();
  EXPECT_EQ(WEXITSTATUS(exit_status(child)), 3);
  EXPECT_FALSE(raw());
}

TEST_F(RawTerminalTest, IsRestoredBeforeAFatalSignalDoesItsWork) {
  for (const int signal : {SIGTERM, SIGSEGV, SIGINT}) {
    const pid_t child = start_raw(sleep_long);
    ASSERT_TRUE(becomes_raw(true));
    ::kill(child, signal);
    const int status = exit_status(child);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), signal);
    EXPECT_FALSE(raw());
  }
}

TEST_F(RawTerminalTest, NeedNotBeTheControllingOne) {
  const pid_t child = start_raw(sleep_long, false);
  EXPECT_TRUE(becomes_raw(true));
  ::kill(child, SIGTERM);
  EXPECT_EQ(WTERMSIG(exit_status(child)), SIGTERM);
  EXPECT_FALSE(raw());
}

TEST_F(RawTerminalTest, IsRestoredWhileTheProcessIsStopped) {
  // An orphaned process group is not stopped by SIGTSTP: the worker needs a parent in its session.
  const pid_t leader = start(slave.get(), slave.get(), [] {
    ::setsid();
    ::ioctl(STDIN_FILENO, TIOCSCTTY, 0);
    ::signal(SIGTTOU, SIG_IGN);
    const pid_t worker = ::fork();
    if (worker == 0) {
      ::setpgid(0, 0);
      ::tcsetpgrp(STDIN_FILENO, ::getpid());
      ::signal(SIGTTOU, SIG_DFL);
      const RawTerminal terminal(STDIN_FILENO);
      ::raise(SIGTSTP);
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      ::_exit(5);
    }
    int status = 0;
    termios mode{};
    ::waitpid(worker, &status, WUNTRACED);
    ::tcgetattr(STDIN_FILENO, &mode);
    if (!WIFSTOPPED(status) || !(mode.c_lflag & ICANON)) ::_exit(1);
    ::kill(worker, SIGCONT);
    ::waitpid(worker, &status, 0);
    ::_exit(WEXITSTATUS(status) == 5 ? 0 : 2);
  });
  EXPECT_TRUE(becomes_raw(true));
  EXPECT_EQ(exit_status(leader), 0);
  EXPECT_TRUE(raw()) << "SIGCONT brings raw mode back";
}

TEST(RawTerminal, LeavesAPipeAlone) {
  Pipes pipe;
  EXPECT_FALSE(RawTerminal(pipe.read_end.get()).active());
}

}  // namespace
}  // namespace vireo::backends
