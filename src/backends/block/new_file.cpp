#include "backends/block/new_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace vireo::backends {
namespace {

constexpr mode_t kMode = 0644;

std::string reason() { return std::generic_category().message(errno); }

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

Result<NewFile> NewFile::create(const std::string& path) {
  struct stat info = {};
  if (::lstat(path.c_str(), &info) == 0)
    return usage_error("there is a file {} already: choose another name", path);
  UniqueFd fd(::open(folder_of(path).c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, kMode));
  std::string temporary;
  if (!fd && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    temporary = path + ".XXXXXX";
    fd = UniqueFd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (fd) ::fchmod(fd.get(), kMode);
  }
  if (!fd) return usage_error("cannot make the file {}: {}", path, reason());
  return NewFile(path, temporary, ImageFile::adopt(std::move(fd), path));
}

NewFile::~NewFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<> NewFile::publish() {
  if (const auto error = file_->sync())
    return host_error("cannot write to {}: {}", path_, error.message());
  const std::string unnamed = fmt::format("/proc/self/fd/{}", file_->fd());
  const int named =
      temporary_.empty()
          ? ::linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW)
          : ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
  if (named != 0) return host_error("cannot name the new file {}: {}", path_, reason());
  temporary_.clear();
  // The name, too, shall outlast a host without power.
  const UniqueFd folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) ::fsync(folder.get());
  return {};
}

}  // namespace vireo::backends
