#include "backends/block/image_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <memory>

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

constexpr std::uint64_t kSector = 512;         ///< as little as moves past the page cache
constexpr std::uint64_t kMostBytes = 1 << 20;  ///< by way of a buffer at a time
static_assert(kMostBytes + 2 * kSector <= SectorBuffers::kBytes);

/// The sectors that a range touches.
struct Sectors {
  Sectors(std::uint64_t offset, std::uint64_t length)
      : begin(offset / kSector * kSector),
        end((offset + length + kSector - 1) / kSector * kSector) {}
  std::uint64_t begin, end;
};

}  // namespace

Result<std::shared_ptr<ImageFile>> ImageFile::open(const std::string& path, bool read_only,
                                                   bool bypass_cache) {
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
  if (bypass_cache) TRY(file->bypass_cache());
  return file;
}

/// Disks of guests have sectors of 512 bytes: where the host has larger ones, each write to a part
/// of one would be a read as well, and a power failure would lose the neighbours.
Result<> ImageFile::bypass_cache() {
  alignas(4096) std::array<std::uint8_t, kSector> probe;
  const bool able = ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_DIRECT) == 0 &&
                    ::pread(fd_.get(), probe.data(), probe.size(), 0) >= 0;
  if (!able)
    return host_error(
        "the page cache cannot be bypassed for the image {}: {}; leave cache=none out", path_,
        errno == EINVAL ? "its file system cannot do that, or its sectors are too large"
                        : last_error().message());
  bypasses_cache_ = never_reads_at_once_ = never_writes_at_once_ = true;
  return {};
}

bool ImageFile::can_move(std::uint64_t offset, std::span<const iovec> buffers) const {
  if (!bypasses_cache_) return true;
  return offset % kSector == 0 && std::ranges::all_of(buffers, [](const iovec& buffer) {
           // SAFETY: an address as a number, to look at its lowest bits.
           return (reinterpret_cast<std::uintptr_t>(buffer.iov_base) | buffer.iov_len) % kSector ==
                  0;
         });
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

std::uint64_t ImageFile::read_at_once(std::uint64_t offset, std::span<const iovec> buffers) const {
  if (never_reads_at_once_) return 0;
  const ssize_t count = ::preadv2(fd_.get(), buffers.data(), first_count(buffers),
                                  static_cast<off_t>(offset), RWF_NOWAIT);
  if (count < 0 && is_unsupported(errno)) never_reads_at_once_ = true;
  return count > 0 ? static_cast<std::uint64_t>(count) : 0;
}

std::uint64_t ImageFile::write_at_once(std::uint64_t offset, std::span<const iovec> buffers) {
  if (never_writes_at_once_) return 0;
  const ssize_t count = ::pwritev2(fd_.get(), buffers.data(), first_count(buffers),
                                   static_cast<off_t>(offset), RWF_NOWAIT);
  if (count < 0 && is_unsupported(errno)) never_writes_at_once_ = true;
  return count > 0 ? static_cast<std::uint64_t>(count) : 0;
}

void ImageFile::begin_read(std::uint64_t offset, std::uint64_t length) {
  if (bypasses_cache_) return;
  [[maybe_unused]] const int ignored = ::posix_fadvise(
      fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_WILLNEED);
}

void ImageFile::begin_write_back(std::uint64_t offset, std::uint64_t length) {
  if (bypasses_cache_) return;
  // A hint: whether all reached the disk, a sync tells.
  [[maybe_unused]] const int ignored = ::sync_file_range(
      fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length), SYNC_FILE_RANGE_WRITE);
}

std::error_code ImageFile::read(std::uint64_t offset, std::span<std::uint8_t> bytes) const {
  return read(offset, Iovecs{{bytes.data(), bytes.size()}});
}

std::error_code ImageFile::read(std::uint64_t offset, Iovecs buffers) const {
  if (!can_move(offset, buffers)) return read_by_buffer(offset, buffers);
  const std::uint64_t bytes = total_length(buffers);
  if (!may_gather(bytes)) return move_in(offset, buffers);
  return by_the_faster_way(faster_reads_, bytes, [&](bool by_buffer) {
    return by_buffer ? read_by_buffer(offset, buffers) : move_in(offset, buffers);
  });
}

std::error_code ImageFile::read_by_buffer(std::uint64_t offset,
                                          std::span<const iovec> buffers) const {
  const SectorBuffers::Buffer room = sector_buffers_.take();
  const std::uint64_t length = total_length(buffers);
  for (std::uint64_t done = 0; done < length;) {
    const std::uint64_t part = std::min(length - done, kMostBytes);
    const Sectors sectors(offset + done, part);
    iovec whole{room.bytes().data(), sectors.end - sectors.begin};
    if (const auto error = move_in(sectors.begin, {&whole, 1})) return error;
    copy_to(slice(buffers, done, part), room.bytes().subspan(offset + done - sectors.begin, part));
    done += part;
  }
  return {};
}

std::error_code ImageFile::move_in(std::uint64_t offset, std::span<iovec> rest) const {
  drop_front(rest, 0);
  while (!rest.empty()) {
    const ssize_t count =
        ::preadv(fd_.get(), rest.data(), first_count(rest), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error();
    offset += static_cast<std::uint64_t>(count);
    drop_front(rest, static_cast<std::uint64_t>(count));
    if (count == 0) {
      fill_zeroes(rest);
      break;
    }
  }
  return {};
}

std::error_code ImageFile::write(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  return write(offset, Iovecs{{const_cast<std::uint8_t*>(bytes.data()), bytes.size()}});
}

std::error_code ImageFile::write(std::uint64_t offset, Iovecs buffers) {
  if (!can_move(offset, buffers)) return write_by_buffer(offset, buffers);
  const std::uint64_t bytes = total_length(buffers);
  if (!may_gather(bytes)) return move_out(offset, buffers);
  return by_the_faster_way(faster_writes_, bytes, [&](bool by_buffer) {
    return by_buffer ? write_by_buffer(offset, buffers) : move_out(offset, buffers);
  });
}

std::error_code ImageFile::write_by_buffer(std::uint64_t offset, std::span<const iovec> buffers) {
  const SectorBuffers::Buffer room = sector_buffers_.take();
  const std::uint64_t length = total_length(buffers);
  for (std::uint64_t done = 0; done < length;) {
    const std::uint64_t part = std::min(length - done, kMostBytes);
    const Sectors sectors(offset + done, part);
    iovec whole{room.bytes().data(), sectors.end - sectors.begin};
    std::unique_lock lock(parts_mutex_, std::defer_lock);
    if (whole.iov_len != part) {
      lock.lock();
      iovec before = whole;
      if (const auto error = move_in(sectors.begin, {&before, 1})) return error;
    }
    copy_from(room.bytes().subspan(offset + done - sectors.begin, part),
              slice(buffers, done, part));
    if (const auto error = move_out(sectors.begin, {&whole, 1})) return error;
    done += part;
  }
  return {};
}

template <class Transfer>
std::error_code ImageFile::by_the_faster_way(Ways& ways, std::uint64_t bytes, Transfer transfer) {
  const auto size =
      std::min<std::size_t>(std::bit_width(bytes / kGatheredBytes) - 1, ways.size() - 1);
  const FasterWay::Way way = ways[size].next();
  const auto begin = std::chrono::steady_clock::now();
  const std::error_code error = transfer(way == FasterWay::Way::kOther);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  if (!error) ways[size].took(way, time.count() / static_cast<double>(bytes));
  return error;
}

std::error_code ImageFile::move_out(std::uint64_t offset, std::span<iovec> rest) {
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
