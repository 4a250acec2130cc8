#include "backends/share/shared_folder.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace vireo::backends {
namespace {

/// So many descriptors a process may have for the files of its shares, if the host lets it.
constexpr rlim_t kMostDescriptors = 1 << 17;

/// A guest's kernel keeps many files at hand, each a descriptor here.
void raise_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::min(limit.rlim_max, kMostDescriptors);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // without it there are fewer files at a time
}

/// The descriptor moved out of the way of others; -1 with errno as it comes in stays so.
OrErrno<UniqueFd> moved_up(int opened) {
  const UniqueFd low(opened);
  if (!low) return failed_with(errno);
  UniqueFd high(::fcntl(low.get(), F_DUPFD_CLOEXEC, SharedFolder::kFirstDescriptor));
  if (!high) return failed_with(errno == EINVAL ? EMFILE : errno);
  return high;
}

/// openat() that leaves the folder by no link, no mount of a magic kind and no "..".
int open_beneath(int folder, const std::string& name, int flags, mode_t mode = 0) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof(how)));
}

OrErrno<std::shared_ptr<Node>> node_of(UniqueFd fd) {
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0) return failed_with(errno);
  return std::make_shared<Node>(Node{std::move(fd), info.st_mode & mode_t{S_IFMT}});
}

}  // namespace

SharedFolder::SharedFolder(UniqueFd fd, bool read_only)
    : root_(std::make_shared<Node>(Node{std::move(fd), S_IFDIR})), read_only_(read_only) {}

Result<std::unique_ptr<SharedFolder>> SharedFolder::open(const std::string& path, bool read_only) {
  raise_limit();
  UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::faccessat(fd.get(), ".", R_OK | X_OK, AT_EACCESS) != 0)
    return usage_error("cannot share {}: {}", path, std::generic_category().message(errno));
  return std::unique_ptr<SharedFolder>(new SharedFolder(std::move(fd), read_only));
}

OrErrno<std::string> SharedFolder::checked_name(std::string_view name) {
  constexpr std::size_t kMostCharacters = 255;
  if (name.empty()) return failed_with(ENOENT);
  if (name.size() > kMostCharacters) return failed_with(ENAMETOOLONG);
  if (name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos)
    return failed_with(EINVAL);
  return std::string(name);
}

OrErrno<std::shared_ptr<Node>> SharedFolder::look_up(const Node& folder,
                                                     const std::string& name) const {
  return node_of(TRY(moved_up(open_beneath(folder.fd.get(), name, O_PATH))));
}

OrErrno<std::string> SharedFolder::path_of(const Node& node) {
  if (node.type == S_IFLNK) return failed_with(EOPNOTSUPP);
  return fmt::format("/proc/self/fd/{}", node.fd.get());
}

OrErrno<std::shared_ptr<Node>> SharedFolder::open(const Node& node, int flags) const {
  // Others would wait for somebody else, or act when they are opened. What a node is does not
  // change.
  if (node.type == S_IFLNK) return failed_with(ELOOP);
  if (node.type != S_IFREG && node.type != S_IFDIR) return failed_with(ENXIO);
  const std::string path = TRY(path_of(node));
  return node_of(TRY(moved_up(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY))));
}

OrErrno<std::shared_ptr<Node>> SharedFolder::create(const Node& folder, const std::string& name,
                                                    int flags, mode_t mode) const {
  auto made = moved_up(open_beneath(folder.fd.get(), name, flags | O_CREAT | O_EXCL, mode));
  if (made) return node_of(std::move(*made));
  if (made.error().number != EEXIST || (flags & O_EXCL) != 0)
    return failed_with(made.error().number);
  return open(*TRY(look_up(folder, name)), flags);
}

std::uint64_t SharedFolder::identity(const struct stat& info) {
  constexpr unsigned kInodeBits = 48;
  const std::lock_guard lock(mutex_);
  const auto [place, _] = file_systems_.try_emplace(info.st_dev, file_systems_.size());
  return info.st_ino ^ place->second << kInodeBits;
}

}  // namespace vireo::backends
