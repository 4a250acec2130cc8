// Open files and folders.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "backends/share/file_server.h"

namespace vireo::backends {
namespace {

/// What of open()'s flags a guest may choose. Linux's numbers are those of the protocol.
constexpr int kOpenFlags = O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC | O_EXCL;

bool changes_files(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0; }

/// Files that run as whoever owns them are not for guests to make: the user who owns them is the
/// host's.
mode_t permitted(std::uint32_t mode) { return mode & 01777; }

/// A lock's type, start and length, where 0 reaches to the end, as fcntl() has them.
OrErrno<struct flock> range_of(std::uint8_t type, std::uint64_t start, std::uint64_t length) {
  constexpr std::uint64_t kMost = std::numeric_limits<off_t>::max();
  if (type > ninep::kUnlock || start > kMost) return failed_with(EINVAL);
  struct flock range = {};
  range.l_type = std::array<short, 3>{F_RDLCK, F_WRLCK, F_UNLCK}.at(type);
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(start);
  range.l_len = length > kMost - start ? 0 : static_cast<off_t>(length);
  return range;
}

}  // namespace

OrErrno<> FileServer::open(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const int flags = static_cast<int>(in.take<std::uint32_t>()) & kOpenFlags & ~O_EXCL;
  if (!in.good()) return failed_with(EINVAL);
  const Fid fid = TRY(find(number));
  if (fid.opened || fid.extended) return failed_with(EBUSY);
  if (changes_files(flags)) TRY(check_writable());
  auto file = TRY(folder_->open(*fid.node, flags));
  TRY(put_qid(out, *file));
  out.put(std::uint32_t{0});  // no advice on how much to read at once
  return set_open(number, std::move(file));
}

OrErrno<> FileServer::create(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto text = in.text();
  const int flags = static_cast<int>(in.take<std::uint32_t>()) & kOpenFlags;
  const auto mode = in.take<std::uint32_t>();
  in.take<std::uint32_t>();  // the group: the file is the host user's
  if (!in.good()) return failed_with(EINVAL);
  TRY(check_writable());
  const std::string name = TRY(SharedFolder::checked_name(text));
  const Fid fid = TRY(find(number));
  if (fid.opened || fid.extended) return failed_with(EBUSY);
  auto file = TRY(folder_->create(*fid.node, name, flags, permitted(mode)));
  TRY(put_qid(out, *file));
  out.put(std::uint32_t{0});
  return set_open(number, std::move(file));
}

OrErrno<> FileServer::read(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto offset = in.take<std::uint64_t>();
  const auto wanted = in.take<std::uint32_t>();
  if (!in.good() || out.room() < sizeof(wanted)) return failed_with(EINVAL);
  const Fid fid = TRY(find(number));
  if (fid.extended) return read_extended(*fid.extended, offset, wanted, out);
  if (!fid.opened) return failed_with(EBADF);
  const auto count = out.skip(sizeof(wanted));
  const std::size_t start = out.size();
  const auto data = out.skip(std::min<std::size_t>(wanted, out.room()));
  const ssize_t got =
      ::pread(fid.opened->file->fd.get(), data.data(), data.size(), static_cast<off_t>(offset));
  if (got < 0) return failed_with(errno);
  MessageWriter(count).put(static_cast<std::uint32_t>(got));
  out.cut(start + static_cast<std::size_t>(got));
  return {};
}

OrErrno<> FileServer::write(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto offset = in.take<std::uint64_t>();
  const auto data = in.raw(in.take<std::uint32_t>());
  if (!in.good()) return failed_with(EINVAL);
  TRY(check_writable());
  const Fid fid = TRY(find(number));
  if (fid.extended) return write_extended(*fid.extended, offset, data, out);
  if (!fid.opened) return failed_with(EBADF);
  const ssize_t put =
      ::pwrite(fid.opened->file->fd.get(), data.data(), data.size(), static_cast<off_t>(offset));
  if (put < 0) return failed_with(errno);
  out.put(static_cast<std::uint32_t>(put));
  return {};
}

/// As many entries as fit whole. Each says where the next begins, in the host's numbers: whatever
/// the client makes of them, the host's kernel judges them.
OrErrno<> FileServer::read_folder(MessageReader& in, MessageWriter& out) {
  constexpr std::size_t kFixedBytes = 13 + 8 + 1 + 2;  // qid, offset, type, length of the name
  const auto number = in.take<std::uint32_t>();
  const auto offset = in.take<std::uint64_t>();
  const auto wanted = in.take<std::uint32_t>();
  if (!in.good() || out.room() < sizeof(wanted)) return failed_with(EINVAL);
  const Fid fid = TRY(find_open(number));
  const Node& folder = *fid.opened->file;
  const auto count = out.skip(sizeof(wanted));
  const std::size_t start = out.size();
  const std::size_t most = std::min<std::size_t>(wanted, out.room());

  const std::lock_guard lock(fid.opened->mutex);
  if (::lseek(folder.fd.get(), static_cast<off_t>(offset), SEEK_SET) < 0) return failed_with(errno);
  struct stat self = {};
  if (::fstat(folder.fd.get(), &self) != 0) return failed_with(errno);
  alignas(dirent64) std::array<char, 32768> entries;
  bool full = false;
  while (!full) {
    const ssize_t bytes = ::getdents64(folder.fd.get(), entries.data(), entries.size());
    if (bytes < 0) return failed_with(errno);
    if (bytes == 0) break;
    for (ssize_t at = 0; at < bytes && !full;) {
      // SAFETY: getdents64() fills the buffer with such records, each as long as it says.
      const auto* entry = reinterpret_cast<const dirent64*>(entries.data() + at);
      at += entry->d_reclen;
      const std::string_view name(entry->d_name);
      full = out.size() - start + kFixedBytes + name.size() > most;
      if (full) break;
      struct stat info = self;  // of the same file system, or a place where another begins
      info.st_mode = static_cast<mode_t>(DTTOIF(entry->d_type));
      if (name != "..") info.st_ino = entry->d_ino;  // what is above the share is nobody's business
      put_qid(out, info);
      out.put(static_cast<std::uint64_t>(entry->d_off));
      out.put(entry->d_type);
      out.text(name);
    }
  }
  if (full && out.size() == start)
    return failed_with(EINVAL);  // as Linux says of too small a buffer
  MessageWriter(count).put(static_cast<std::uint32_t>(out.size() - start));
  return {};
}

OrErrno<> FileServer::sync(MessageReader& in, MessageWriter&) {
  const auto number = in.take<std::uint32_t>();
  if (!in.good()) return failed_with(EINVAL);
  const bool data_only = in.left() >= 4 && in.take<std::uint32_t>() != 0;
  const Fid fid = TRY(find_open(number));
  const int fd = fid.opened->file->fd.get();
  if ((data_only ? ::fdatasync(fd) : ::fsync(fd)) != 0) return failed_with(errno);
  return {};
}

OrErrno<> FileServer::lock(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto type = in.take<std::uint8_t>();
  in.take<std::uint32_t>();  // whether its process waits: it asks again
  const auto start = in.take<std::uint64_t>();
  const auto length = in.take<std::uint64_t>();
  const auto process = in.take<std::uint32_t>();
  in.text();  // the client's name
  if (!in.good()) return failed_with(EINVAL);
  const struct flock range = TRY(range_of(type, start, length));
  const Fid fid = TRY(find_open(number));
  Fid::Opened& opened = *fid.opened;
  std::uint8_t status = ninep::kLockDone;
  const std::lock_guard guard(opened.mutex);
  if (type == ninep::kUnlock) {
    locks_.unlock(*opened.file, process, range, opened.held);
  } else {
    const auto locked = locks_.lock(*folder_, *opened.file, process, range, opened.held);
    if (!locked) status = ninep::kLockError;
    if (locked && !*locked) status = ninep::kLockBlocked;
  }
  out.put(status);
  return {};
}

OrErrno<> FileServer::get_lock(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto type = in.take<std::uint8_t>();
  const auto start = in.take<std::uint64_t>();
  const auto length = in.take<std::uint64_t>();
  const auto process = in.take<std::uint32_t>();
  const auto client = in.text();
  if (!in.good() || type >= ninep::kUnlock) return failed_with(EINVAL);
  struct flock range = TRY(range_of(type, start, length));
  const Fid fid = TRY(find_open(number));
  TRY(locks_.find_other(*folder_, *fid.opened->file, process, range));
  const bool free = range.l_type == F_UNLCK;
  const std::uint8_t other = range.l_type == F_RDLCK ? ninep::kReadLock : ninep::kWriteLock;
  out.put(free ? ninep::kUnlock : other);
  out.put(free ? start : static_cast<std::uint64_t>(range.l_start));
  out.put(free ? length : static_cast<std::uint64_t>(range.l_len));
  out.put(free ? process : std::uint32_t{0});  // whose it is on the host is nothing to a guest
  out.text(client);
  return {};
}

}  // namespace vireo::backends
