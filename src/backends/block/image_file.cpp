#include "backends/block/image_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <vector>

#include "backends/block/image_lock.h"

namespace vireo::backends {
namespace {

std::error_code last_error() { return {errno, std::generic_category()}; }

int first_count(std::span<const iovec> buffers) {
  return static_cast<int>(std::min<std::size_t>(buffers.size(), IOV_MAX));
}

bool is_unsupported(int error) {
  return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV || error == EINVAL;
}

}  // namespace

Result<std::shared_ptr<ImageFile>> ImageFile::open(const std::string& path, bool read_only) {
  UniqueFd fd(::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    const int error = errno;
    if (!read_only && (error == EACCES || error == EROFS || error == EPERM))
      return usage_error("cannot write to the image {}: {}; open it read-only, or discard changes",
                         path, last_error().message());
    return usage_error("cannot open the image {}: {}", path, last_error().message());
  }
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0)
    return host_error("cannot look at the image {}: {}", path, last_error().message());
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
    return usage_error("the image {} is neither a regular file nor a block device", path);
  // It was for pipes only: with it io_uring would not wait for the disk either.
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  TRY(lock_image(fd.get(), path, read_only ? ImageUse::kRead : ImageUse::kWrite));
  std::shared_ptr<ImageFile> file(new ImageFile(std::move(fd), path, read_only));
  file->is_device_ = S_ISBLK(info.st_mode);
  return file;
}

Result<std::shared_ptr<ImageFile>> ImageFile::open_temporary(const std::string& folder) {
  const char* variable = std::getenv("TMPDIR");
  const std::string other = variable != nullptr && *variable != '\0' ? variable : "/tmp";
  for (const std::string& place : {folder, other}) {
    UniqueFd fd(::open(place.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (!fd) {  // not every file system has files without names
      std::string name = place + "/vireo-XXXXXX";
      fd = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
      if (fd) ::unlink(name.c_str());
    }
    if (!fd) continue;
    std::shared_ptr<ImageFile> file(new ImageFile(std::move(fd), place + "/(temporary)", false));
    file->is_temporary_ = true;
    return file;
  }
  return host_error("cannot make a temporary file in {} nor in {}: {}; set TMPDIR", folder, other,
                    last_error().message());
}

Result<std::uint64_t, std::error_code> ImageFile::size() const {
  if (is_device_) {
    std::uint64_t bytes = 0;
    if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) != 0) return tl::unexpected(last_error());
    return bytes;
  }
  struct stat info = {};
  if (::fstat(fd_.get(), &info) != 0) return tl::unexpected(last_error());
  return static_cast<std::uint64_t>(info.st_size);
}

std::error_code ImageFile::read(std::uint64_t offset, std::span<std::uint8_t> bytes) const {
  return read(offset, Iovecs{{bytes.data(), bytes.size()}});
}

std::error_code ImageFile::read(std::uint64_t offset, Iovecs buffers) const {
  std::span<iovec> rest = buffers;
  drop_front(rest, 0);
  while (!rest.empty()) {
    const ssize_t count =
        ::preadv(fd_.get(), rest.data(), first_count(rest), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error();
    if (count == 0) {
      fill_zeroes(rest);
      break;
    }
    offset += static_cast<std::uint64_t>(count);
    drop_front(rest, static_cast<std::uint64_t>(count));
  }
  return {};
}

std::error_code ImageFile::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  return write(offset, Iovecs{{const_cast<std::uint8_t*>(bytes.data()), bytes.size()}});
}

std::error_code ImageFile::write(std::uint64_t offset, Iovecs buffers) {
  std::span<iovec> rest = buffers;
  drop_front(rest, 0);
  while (!rest.empty()) {
    const ssize_t count =
        ::pwritev(fd_.get(), rest.data(), first_count(rest), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error();
    if (count == 0) return std::make_error_code(std::errc::no_space_on_device);
    offset += static_cast<std::uint64_t>(count);
    drop_front(rest, static_cast<std::uint64_t>(count));
  }
  return {};
}

std::error_code ImageFile::sync() {
  if (!needs_sync()) return {};
  int result = 0;
  do result = ::fdatasync(fd_.get());
  while (result != 0 && errno == EINTR);
  return judge_sync(result == 0 ? std::error_code() : last_error());
}

std::error_code ImageFile::judge_sync(std::error_code result) {
  if (result) sync_failed_ = true;
  if (!result && sync_failed_) return std::make_error_code(std::errc::io_error);
  return result;
}

std::error_code ImageFile::write_zeroes(std::uint64_t offset, std::uint64_t length,
                                        bool may_unmap) {
  const int how = (may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE;
  const auto at = static_cast<off_t>(offset);
  if (::fallocate(fd_.get(), how, at, static_cast<off_t>(length)) == 0) return {};
  if (!is_unsupported(errno) && errno != EINTR) return last_error();
  static constexpr std::uint64_t kChunk = 1 << 20;
  const std::vector<std::uint8_t> zeroes(std::min(length, kChunk));
  while (length != 0) {
    const std::uint64_t part = std::min(length, kChunk);
    if (const auto error = write(offset, std::span(zeroes).first(part))) return error;
    offset += part;
    length -= part;
  }
  return {};
}

std::error_code ImageFile::discard(std::uint64_t offset, std::uint64_t length) {
  const int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  const auto at = static_cast<off_t>(offset);
  if (::fallocate(fd_.get(), how, at, static_cast<off_t>(length)) == 0) return {};
  return is_unsupported(errno) || errno == EINTR ? std::error_code() : last_error();
}

}  // namespace vireo::backends
