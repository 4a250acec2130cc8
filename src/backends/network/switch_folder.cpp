#include "backends/network/switch_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace vireo::backends {

Result<SwitchFolder> SwitchFolder::open() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return open_at(fmt::format("{}/vireo", runtime));
  return open_at(fmt::format("/tmp/vireo-{}", ::geteuid()));
}

Result<SwitchFolder> SwitchFolder::open_at(const std::string& path) {
  const auto reason = [] { return std::generic_category().message(errno); };
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return host_error("cannot make the folder {} for switches: {}", path, reason());
  SwitchFolder folder;
  folder.path_ = path;
  folder.fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status = {};
  if (!folder.fd_ || ::fstat(folder.fd_.get(), &status) != 0)
    return host_error("cannot use {} for switches: {}", path, reason());
  if (status.st_uid != ::geteuid() || (status.st_mode & 077) != 0)
    return host_error(
        "the folder {} is not for switches: it must belong to you, with mode 0700; "
        "remove it",
        path);
  return folder;
}

sockaddr_un SwitchFolder::address_of(const std::string& file) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", fd_.get(), file);
  std::copy_n(path.c_str(), std::min(path.size(), sizeof(address.sun_path) - 1), address.sun_path);
  return address;
}

}  // namespace vireo::backends
