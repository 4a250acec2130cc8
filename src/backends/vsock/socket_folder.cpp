#include "backends/vsock/socket_folder.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

namespace vireo::backends {
namespace {

constexpr std::string_view kStreamListener = "connect", kMessagesListener = "connect-messages";

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return std::nullopt;
  std::ranges::copy(path, address.sun_path);
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  // SAFETY: what the calls of sockets take, whatever the family.
  return reinterpret_cast<const sockaddr*>(&address);
}

UniqueFd make_socket(SocketKind kind) {
  const int type = kind == SocketKind::kStream ? SOCK_STREAM : SOCK_SEQPACKET;
  return UniqueFd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

std::string reason() { return std::generic_category().message(errno); }

/// What a program that is no more has left there goes.
Result<> remove_abandoned(const std::string& path, const sockaddr_un& address, SocketKind kind) {
  struct stat info = {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) return usage_error("{} exists and is not a socket", path);
  const UniqueFd probe = make_socket(kind);
  if (::connect(probe.get(), generic(address), sizeof(address)) == 0 || errno != ECONNREFUSED)
    return usage_error("{} is in use by another program", path);
  if (::unlink(path.c_str()) != 0) return usage_error("cannot remove {}: {}", path, reason());
  return {};
}

}  // namespace

Result<std::unique_ptr<SocketFolder>> SocketFolder::open(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return usage_error("{} is no folder for the sockets of --vsock; make it first", path);
  const auto longest = std::max(kStreamListener.size(), kMessagesListener.size());
  if (!address_of(path + "/" + std::string(longest, 'x')))
    return usage_error("the path {} is too long for sockets in it", path);

  std::unique_ptr<SocketFolder> folder(new SocketFolder(path));
  TRY(folder->listen(SocketKind::kStream, kStreamListener));
  TRY(folder->listen(SocketKind::kMessages, kMessagesListener));
  return folder;
}

Result<> SocketFolder::listen(SocketKind kind, std::string_view name) {
  const std::string path = fmt::format("{}/{}", path_, name);
  const sockaddr_un address = address_of(path).value_or(sockaddr_un{});
  TRY(remove_abandoned(path, address, kind));
  Listener& listener = listeners_[index(kind)];
  listener.socket = make_socket(kind);
  if (!listener.socket || ::bind(listener.socket.get(), generic(address), sizeof(address)) != 0)
    return usage_error("cannot listen on {}: {}", path, reason());
  listener.path = path;
  struct stat info = {};
  if (::lstat(path.c_str(), &info) == 0) {
    listener.device = info.st_dev;
    listener.inode = info.st_ino;
  }
  if (::listen(listener.socket.get(), SOMAXCONN) != 0)
    return host_error("cannot listen on {}: {}", path, reason());
  return {};
}

SocketFolder::Listener::~Listener() {
  struct stat now = {};
  if (inode != 0 && ::lstat(path.c_str(), &now) == 0 && now.st_dev == device && now.st_ino == inode)
    ::unlink(path.c_str());
}

UniqueFd SocketFolder::accept(SocketKind kind) {
  return UniqueFd(::accept4(listener(kind), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

UniqueFd SocketFolder::connect(std::uint32_t port, SocketKind kind) const {
  const auto address = address_of(fmt::format("{}/{}", path_, port));
  UniqueFd socket = make_socket(kind);
  if (!address || !socket || ::connect(socket.get(), generic(*address), sizeof(*address)) != 0)
    return {};
  return socket;
}

}  // namespace vireo::backends
