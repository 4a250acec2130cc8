#include "backends/network/switch_port.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "backends/network/frame_port.h"
#include "backends/network/switch_hub.h"

namespace vireo::backends {
namespace {

constexpr std::size_t kMostNameLetters = 64;
constexpr auto kRetry = std::chrono::milliseconds(10);
constexpr unsigned kRetriesAtFirst = 500;

bool is_name(const std::string& name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= kMostNameLetters && name.front() != '.' &&
         std::ranges::all_of(name, good);
}

UniqueFd seqpacket_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// One port's part in the switch: connects to it, or makes it if nobody has.
///
/// Who holds the lock of a file beside the socket holds the switch; the kernel gives it back
/// whichever way a process ends.
class SwitchMember {
 public:
  SwitchMember(SwitchFolder folder, const std::string& name)
      : folder_(std::move(folder)), socket_("switch-" + name), lock_file_(socket_ + ".lock") {}
  ~SwitchMember() {
    if (hub_) ::unlinkat(folder_.fd(), socket_.c_str(), 0);  // still locked
  }

  /// A connection, or none for now.
  Result<UniqueFd> join() {
    if (UniqueFd fd = connect()) return fd;
    TRY(hold());
    return connect();
  }

 private:
  UniqueFd connect() const {
    UniqueFd fd = seqpacket_socket();
    const sockaddr_un address = folder_.address_of(socket_);
    // SAFETY: how the call takes addresses of each family.
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)))
      return UniqueFd();
    constexpr int kSendBuffer = 1 << 20;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
    return fd;
  }

  /// Makes the switch, unless somebody else is about to.
  Result<> hold() {
    if (hub_) return {};
    const auto reason = [] { return std::generic_category().message(errno); };
    UniqueFd lock(::openat(folder_.fd(), lock_file_.c_str(),
                           O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) return host_error("cannot make {}/{}: {}", folder_.path(), lock_file_, reason());
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return {};
    ::unlinkat(folder_.fd(), socket_.c_str(), 0);  // of one that was killed
    UniqueFd listener = seqpacket_socket();
    const sockaddr_un address = folder_.address_of(socket_);
    // SAFETY: how the call takes addresses of each family.
    if (!listener ||
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ||
        ::listen(listener.get(), SOMAXCONN))
      return host_error("cannot make the switch {}/{}: {}", folder_.path(), socket_, reason());
    hub_ = TRY(SwitchHub::create(std::move(listener)));
    lock_ = std::move(lock);
    return {};
  }

  const SwitchFolder folder_;
  const std::string socket_, lock_file_;
  UniqueFd lock_;
  std::unique_ptr<SwitchHub> hub_;  // ends before the lock is given back
};

class SwitchPort final : public FramePort {
 public:
  SwitchPort(std::string name, std::unique_ptr<SwitchMember> member, UniqueFd fd, WakeEvent wake)
      : FramePort(std::move(fd), std::move(wake), true),
        name_(std::move(name)),
        member_(std::move(member)) {}
  ~SwitchPort() override { stop(); }

  std::string name() const override { return "switch " + name_; }

 private:
  UniqueFd reconnect() override {
    auto joined = member_->join();
    return joined ? std::move(*joined) : UniqueFd();
  }

  const std::string name_;
  const std::unique_ptr<SwitchMember> member_;
};

}  // namespace

Result<std::unique_ptr<NetworkBackend>> open_switch_port(SwitchFolder folder,
                                                         const std::string& name) {
  if (!is_name(name))
    return usage_error(
        "'{}' is no name for a switch: 1 to {} letters, digits, -, _ and ., not beginning with .",
        name, kMostNameLetters);
  const std::string path = folder.path();
  auto member = std::make_unique<SwitchMember>(std::move(folder), name);
  UniqueFd fd;
  for (unsigned i = 0; i < kRetriesAtFirst && !fd; ++i) {
    if (i != 0) std::this_thread::sleep_for(kRetry);
    fd = TRY(member->join());
  }
  if (!fd)
    return host_error("the switch '{}' in {} does not answer: end the machine that holds it", name,
                      path);
  return std::make_unique<SwitchPort>(name, std::move(member), std::move(fd),
                                      TRY(WakeEvent::create()));
}

}  // namespace vireo::backends
