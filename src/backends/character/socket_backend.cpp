#include "backends/character/socket_backend.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "backends/character/stream_backend.h"

namespace vireo::backends {
namespace {

constexpr std::size_t kBacklog = 64 * 1024;

std::string reason() { return std::generic_category().message(errno); }

class SocketBackend final : public StreamBackend {
 public:
  SocketBackend() : StreamBackend(WhenFull::kDropOldest, kBacklog) {}
  ~SocketBackend() override {
    StreamBackend::flush();
    // Only our own file, and only if nobody has put another one in its place.
    struct stat now = {};
    if (bound_ && ::lstat(path_.c_str(), &now) == 0 && now.st_dev == file_.st_dev &&
        now.st_ino == file_.st_ino)
      ::unlink(path_.c_str());
  }

  Result<> open(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path))
      return usage_error("the socket path '{}' must have 1 to {} characters", path,
                         sizeof(address.sun_path) - 1);
    std::memcpy(address.sun_path, path.data(), path.size());
    TRY(open_epoll());
    TRY(remove_abandoned(path, address));
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    if (!listener_ || ::bind(listener_.get(), generic, sizeof(address)) != 0)
      return usage_error("cannot listen on {}: {}", path, reason());
    path_ = path;
    bound_ = ::lstat(path.c_str(), &file_) == 0;
    if (::listen(listener_.get(), 1) != 0)
      return host_error("cannot listen on {}: {}", path, reason());
    watch_other(listener_.get(), true);
    return Unit{};
  }

 private:
  static Result<> remove_abandoned(const std::string& path, const sockaddr_un& address) {
    struct stat info = {};
    if (::lstat(path.c_str(), &info) != 0) return Unit{};
    if (!S_ISSOCK(info.st_mode)) return usage_error("{} exists and is not a socket", path);
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(probe.get(), generic, sizeof(address)) == 0 || errno != ECONNREFUSED)
      return usage_error("{} is in use by another program", path);
    if (::unlink(path.c_str()) != 0) return usage_error("cannot remove {}: {}", path, reason());
    return Unit{};
  }

  void on_other_readable() override {
    if (client_) return;
    client_ = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client_) return;
    watch_other(listener_.get(), false);
    connect(client_.get(), client_.get());
  }
  void on_end_of_input() override {
    connect(-1, -1);
    client_ = UniqueFd();
    watch_other(listener_.get(), true);
  }

  UniqueFd listener_, client_;
  std::string path_;
  struct stat file_ = {};
  bool bound_ = false;
};

class PtyBackend final : public StreamBackend {
 public:
  PtyBackend() : StreamBackend(WhenFull::kDropOldest, kBacklog) {}

  Result<> open() {
    TRY(open_epoll());
    master_ = UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    std::array<char, 128> path{};
    if (!master_ || ::grantpt(master_.get()) != 0 || ::unlockpt(master_.get()) != 0 ||
        ::ptsname_r(master_.get(), path.data(), path.size()) != 0)
      return host_error("cannot make a pseudo terminal: {}", reason());
    // We keep the other side open as well, so that programs may come and go.
    slave_ = UniqueFd(::open(path.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios mode{};
    if (!slave_ || ::tcgetattr(slave_.get(), &mode) != 0)
      return host_error("cannot open {}: {}", path.data(), reason());
    ::cfmakeraw(&mode);
    ::tcsetattr(slave_.get(), TCSANOW, &mode);
    connect(master_.get(), master_.get());
    fmt::print(stderr, "vireo: the serial port is {}\n", path.data());
    return Unit{};
  }
  void flush() override {}  // nobody may be there to read it

 private:
  UniqueFd master_, slave_;
};

}  // namespace

Result<std::unique_ptr<CharBackend>> open_socket_backend(const std::string& path) {
  auto backend = std::make_unique<SocketBackend>();
  TRY(backend->open(path));
  return backend;
}

Result<std::unique_ptr<CharBackend>> open_pty_backend() {
  auto backend = std::make_unique<PtyBackend>();
  TRY(backend->open());
  return backend;
}

}  // namespace vireo::backends
