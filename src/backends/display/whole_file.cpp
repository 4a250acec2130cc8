#include "backends/display/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "base/unique_fd.h"

namespace vireo::backends {
namespace {

tl::unexpected<Error> cannot_write(const std::string& path) {
  return usage_error("cannot write {}: {}", path, std::generic_category().message(errno));
}

Result<> write_to(const std::string& path, std::span<const std::byte> bytes) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!fd) return cannot_write(path);
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return cannot_write(path);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

}  // namespace

Result<> write_whole_file(const std::string& path, std::span<const std::byte> bytes) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) return write_to(path, bytes);
  const std::string fresh = fmt::format("{}.new-{}", path, ::getpid());
  if (auto written = write_to(fresh, bytes); !written) {
    ::unlink(fresh.c_str());
    return written;
  }
  if (::rename(fresh.c_str(), path.c_str()) == 0) return {};
  auto error = cannot_write(path);
  ::unlink(fresh.c_str());
  return error;
}

}  // namespace vireo::backends
