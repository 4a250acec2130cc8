#include "backends/character/stdio_backend.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "backends/character/escape_filter.h"
#include "backends/character/raw_terminal.h"
#include "backends/character/stream_backend.h"

namespace vireo::backends {
namespace {

constexpr std::string_view kHelp =
    "\r\nCtrl-A X     end the machine\r\n"
    "Ctrl-A B     send a break\r\n"
    "Ctrl-A A     send Ctrl-A\r\n"
    "Ctrl-A H     this help\r\n";

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

class StdioBackend final : public StreamBackend {
 public:
  explicit StdioBackend(TerminalActions actions)
      : StreamBackend(WhenFull::kWait, OutputQueue::kCapacity),
        actions_(std::move(actions)),
        escapes_({[this] { quit(); }, [this] { help(); }, [this] { send_break(); }}) {}
  ~StdioBackend() override { StreamBackend::flush(); }

  Result<> open() {
    // Before descriptors of our own could take the numbers of closed ones.
    const int input = is_open(STDIN_FILENO) ? STDIN_FILENO : -1;
    const int output = is_open(STDOUT_FILENO) ? STDOUT_FILENO : -1;
    TRY(open_epoll());
    connect(input, output);
    if (input >= 0) terminal_.emplace(input);
    return Unit{};
  }

 private:
  void filter(std::vector<std::uint8_t>& bytes) override { escapes_.filter(bytes); }
  void quit() {
    if (actions_.quit) actions_.quit();
  }
  void help() { write({reinterpret_cast<const std::uint8_t*>(kHelp.data()), kHelp.size()}); }
  void send_break() {
    if (break_listener_) break_listener_();
  }

  TerminalActions actions_;
  EscapeFilter escapes_;
  std::optional<RawTerminal> terminal_;
};

/// Output only.
class FileBackend final : public CharBackend {
 public:
  FileBackend(int fd, UniqueFd owned) : fd_(std::move(owned)), output_(WhenFull::kWait) {
    ignore_sigpipe();
    output_.connect(fd);
  }
  ~FileBackend() override { output_.flush(); }
  void write(std::span<const std::uint8_t> bytes) override { output_.write(bytes); }
  void flush() override { output_.flush(); }

 private:
  UniqueFd fd_;
  OutputQueue output_;
};

}  // namespace

Result<std::unique_ptr<CharBackend>> open_stdio_backend(TerminalActions actions) {
  auto backend = std::make_unique<StdioBackend>(std::move(actions));
  TRY(backend->open());
  return backend;
}

Result<std::unique_ptr<CharBackend>> open_file_backend(const std::string& path) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  const int fd = ::open(path.c_str(), kFlags, 0666);
  if (fd < 0)
    return usage_error("cannot write to {}: {}", path, std::generic_category().message(errno));
  return std::make_unique<FileBackend>(fd, UniqueFd(fd));
}

Result<std::unique_ptr<CharBackend>> open_stdout_backend() {
  const int fd = is_open(STDOUT_FILENO) ? STDOUT_FILENO : -1;
  return std::make_unique<FileBackend>(fd, UniqueFd());
}

}  // namespace vireo::backends
