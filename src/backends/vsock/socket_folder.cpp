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

constexpr const char* kListener = "connect";

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

UniqueFd make_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

std::string reason() { return std::generic_category().message(errno); }

/// What a program that is no more has left there goes.
Result<> remove_abandoned(const std::string& path, const sockaddr_un& address) {
  struct stat info = {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) return usage_error("{} exists and is not a socket", path);
  const UniqueFd probe = make_socket();
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
  constexpr std::string_view kLongest = "/4294967295";
  const auto address = address_of(fmt::format("{}/{}", path, kListener));
  if (!address || !address_of(fmt::format("{}{}", path, kLongest)))
    return usage_error("the path {} is too long for sockets in it", path);

  std::unique_ptr<SocketFolder> folder(new SocketFolder(path));
  const std::string name = fmt::format("{}/{}", path, kListener);
  TRY(remove_abandoned(name, *address));
  folder->listener_ = make_socket();
  if (!folder->listener_ ||
      ::bind(folder->listener_.get(), generic(*address), sizeof(*address)) != 0)
    return usage_error("cannot listen on {}: {}", name, reason());
  if (::lstat(name.c_str(), &info) == 0) {
    folder->device_ = info.st_dev;
    folder->inode_ = info.st_ino;
  }
  if (::listen(folder->listener_.get(), SOMAXCONN) != 0)
    return host_error("cannot listen on {}: {}", name, reason());
  return folder;
}

SocketFolder::~SocketFolder() {
  const std::string name = fmt::format("{}/{}", path_, kListener);
  struct stat now = {};
  if (inode_ != 0 && ::lstat(name.c_str(), &now) == 0 && now.st_dev == device_ &&
      now.st_ino == inode_)
    ::unlink(name.c_str());
}

UniqueFd SocketFolder::accept() {
  return UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

UniqueFd SocketFolder::connect(std::uint32_t port) const {
  const auto address = address_of(fmt::format("{}/{}", path_, port));
  UniqueFd socket = make_socket();
  if (!address || !socket || ::connect(socket.get(), generic(*address), sizeof(*address)) != 0)
    return {};
  return socket;
}

}  // namespace vireo::backends
