#include "backends/share/file_locks.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace vireo::backends {

OrErrno<FileLocks::Key> FileLocks::key_of(const Node& node, std::uint32_t process) {
  struct stat info = {};
  if (::fstat(node.fd.get(), &info) != 0) return failed_with(errno);
  return Key{info.st_dev, info.st_ino, process};
}

OrErrno<std::shared_ptr<FileLocks::Holder>> FileLocks::holder(const SharedFolder& folder,
                                                              const Node& node,
                                                              std::uint32_t process) {
  const Key key = TRY(key_of(node, process));
  if (const auto found = holders_.find(key); found != holders_.end()) {
    if (auto holder = found->second.lock()) return holder;
  }
  // To hold a lock for writing a file must be open so, however the guest has opened it.
  auto file = folder.open(node, folder.read_only() ? O_RDONLY : O_RDWR);
  if (!file) file = folder.open(node, O_RDONLY);
  auto made = std::make_shared<Holder>(Holder{TRY(std::move(file))});
  std::erase_if(holders_, [](const auto& entry) { return entry.second.expired(); });
  holders_[key] = made;
  return made;
}

OrErrno<bool> FileLocks::lock(const SharedFolder& folder, const Node& node, std::uint32_t process,
                              struct flock range, Held& held) {
  const std::lock_guard lock(mutex_);
  const auto holder = TRY(this->holder(folder, node, process));
  int result = ::fcntl(holder->file->fd.get(), F_OFD_SETLK, &range);
  if (result != 0 && errno == EBADF && range.l_type == F_WRLCK) {
    range.l_type =
        F_RDLCK;  // the host does not let it write: a lock against writers is all there is
    result = ::fcntl(holder->file->fd.get(), F_OFD_SETLK, &range);
  }
  if (result != 0) {
    if (errno == EAGAIN || errno == EACCES) return false;
    return failed_with(errno);
  }
  if (std::find(held.begin(), held.end(), holder) == held.end()) held.push_back(holder);
  return true;
}

void FileLocks::unlock(const Node& node, std::uint32_t process, struct flock range,
                       const Held& held) {
  range.l_type = F_UNLCK;
  const std::lock_guard lock(mutex_);
  for (const auto& holder : held) ::fcntl(holder->file->fd.get(), F_OFD_SETLK, &range);
  const auto key = key_of(node, process);
  if (!key) return;
  if (const auto found = holders_.find(*key); found != holders_.end()) {
    if (const auto holder = found->second.lock())
      ::fcntl(holder->file->fd.get(), F_OFD_SETLK, &range);
  }
}

OrErrno<> FileLocks::find_other(const SharedFolder& folder, const Node& node, std::uint32_t process,
                                struct flock& range) {
  const std::lock_guard lock(mutex_);
  const auto holder = TRY(this->holder(folder, node, process));
  if (::fcntl(holder->file->fd.get(), F_OFD_GETLK, &range) != 0) return failed_with(errno);
  return {};
}

}  // namespace vireo::backends
