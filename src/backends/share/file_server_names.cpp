// Names and attributes.
#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "backends/share/file_server.h"

namespace vireo::backends {
namespace {

OrErrno<> checked(int result) {
  if (result != 0) return failed_with(errno);
  return {};
}

void put_time(MessageWriter& out, const timespec& time) {
  out.put(static_cast<std::uint64_t>(time.tv_sec));
  out.put(static_cast<std::uint64_t>(time.tv_nsec));
}

/// What a time becomes: as it is, now, or what the client says.
timespec new_time(std::uint32_t valid, std::uint32_t set, std::uint32_t given,
                  std::uint64_t seconds, std::uint64_t nanoseconds) {
  if ((valid & set) == 0) return {0, UTIME_OMIT};
  if ((valid & given) == 0) return {0, UTIME_NOW};
  // The values with a meaning of their own are not the client's to choose.
  constexpr std::uint64_t kMost = 999'999'999;
  return {static_cast<time_t>(seconds), static_cast<long>(std::min(nanoseconds, kMost))};
}

}  // namespace

OrErrno<> FileServer::statfs(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  if (!in.good()) return failed_with(EINVAL);
  const Fid fid = TRY(find(number));
  struct statfs info = {};
  TRY(checked(::fstatfs(fid.node->fd.get(), &info)));
  out.put(static_cast<std::uint32_t>(info.f_type));
  out.put(static_cast<std::uint32_t>(info.f_bsize));
  for (const auto value :
       {info.f_blocks, info.f_bfree, info.f_bavail, info.f_files, info.f_ffree, 0ul})
    out.put(std::uint64_t{value});
  out.put(static_cast<std::uint32_t>(info.f_namelen));
  return {};
}

OrErrno<> FileServer::get_attributes(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  in.take<std::uint64_t>();  // which: all that are here come at one price
  if (!in.good()) return failed_with(EINVAL);
  const Fid fid = TRY(find(number));
  struct stat info = {};
  TRY(checked(::fstat(fid.node->fd.get(), &info)));
  out.put(ninep::kBasicAttributes);
  put_qid(out, info);
  out.put(std::uint32_t{info.st_mode});
  out.put(std::uint32_t{info.st_uid});
  out.put(std::uint32_t{info.st_gid});
  out.put(std::uint64_t{info.st_nlink});
  out.put(std::uint64_t{info.st_rdev});
  out.put(static_cast<std::uint64_t>(info.st_size));
  out.put(static_cast<std::uint64_t>(info.st_blksize));
  out.put(static_cast<std::uint64_t>(info.st_blocks));
  for (const timespec& time : {info.st_atim, info.st_mtim, info.st_ctim, timespec{}})
    put_time(out, time);
  out.put(std::uint64_t{0});  // generation
  out.put(std::uint64_t{0});  // version of the data
  return {};
}

OrErrno<> FileServer::set_attributes(MessageReader& in, MessageWriter&) {
  const auto number = in.take<std::uint32_t>();
  const auto valid = in.take<std::uint32_t>();
  const auto mode = in.take<std::uint32_t>();
  const auto user = in.take<std::uint32_t>();
  const auto group = in.take<std::uint32_t>();
  const auto size = in.take<std::uint64_t>();
  std::array<std::uint64_t, 4> times{};
  for (auto& part : times) part = in.take<std::uint64_t>();
  if (!in.good()) return failed_with(EINVAL);
  TRY(check_writable());
  const Fid fid = TRY(find(number));
  const Node& node = *fid.node;
  constexpr std::uint32_t kKeep = ~std::uint32_t{0};
  if ((valid & (ninep::kSetUser | ninep::kSetGroup)) != 0) {
    TRY(checked(::fchownat(node.fd.get(), "", (valid & ninep::kSetUser) != 0 ? user : kKeep,
                           (valid & ninep::kSetGroup) != 0 ? group : kKeep, AT_EMPTY_PATH)));
  }
  if ((valid & ninep::kSetMode) != 0) {
    // Only folders keep the bit by which groups are inherited; see create().
    const mode_t kept = node.type == S_IFDIR ? 03777 : 01777;
    TRY(checked(::chmod(TRY(SharedFolder::path_of(node)).c_str(), mode & kept)));
  }
  if ((valid & ninep::kSetSize) != 0) {
    if (node.type != S_IFREG) return failed_with(EINVAL);
    TRY(checked(
        fid.opened && ::ftruncate(node.fd.get(), static_cast<off_t>(size)) == 0
            ? 0
            : ::truncate(TRY(SharedFolder::path_of(node)).c_str(), static_cast<off_t>(size))));
  }
  if ((valid & (ninep::kSetAccessTime | ninep::kSetWriteTime)) != 0) {
    const std::array<timespec, 2> both{
        new_time(valid, ninep::kSetAccessTime, ninep::kAccessTimeGiven, times[0], times[1]),
        new_time(valid, ninep::kSetWriteTime, ninep::kWriteTimeGiven, times[2], times[3])};
    TRY(checked(::utimensat(node.fd.get(), "", both.data(), AT_EMPTY_PATH)));
  }
  return {};
}

OrErrno<> FileServer::read_link(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  if (!in.good()) return failed_with(EINVAL);
  const Fid fid = TRY(find(number));
  std::array<char, PATH_MAX> target;
  const ssize_t size = ::readlinkat(fid.node->fd.get(), "", target.data(), target.size());
  if (size < 0) return failed_with(fid.node->type == S_IFLNK ? errno : EINVAL);
  out.text({target.data(), static_cast<std::size_t>(size)});
  return {};
}

/// Where it leads is for whoever follows it: the guest, in its own tree of files.
OrErrno<> FileServer::symlink(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto text = in.text();
  const std::string target(in.text());
  in.take<std::uint32_t>();  // the group
  if (!in.good() || target.find('\0') != target.npos) return failed_with(EINVAL);
  TRY(check_writable());
  const std::string name = TRY(SharedFolder::checked_name(text));
  const Fid fid = TRY(find(number));
  TRY(checked(::symlinkat(target.c_str(), fid.node->fd.get(), name.c_str())));
  return put_qid_of(out, *fid.node, name);
}

/// Devices are not for guests to make, whoever runs this.
OrErrno<> FileServer::make_node(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto text = in.text();
  const auto mode = in.take<std::uint32_t>();
  in.raw(3 * sizeof(std::uint32_t));  // major and minor number, and the group
  if (!in.good()) return failed_with(EINVAL);
  TRY(check_writable());
  const std::string name = TRY(SharedFolder::checked_name(text));
  const Fid fid = TRY(find(number));
  const mode_t type = mode & S_IFMT;
  if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK) return failed_with(EPERM);
  TRY(checked(::mknodat(fid.node->fd.get(), name.c_str(), type | (mode & 01777), 0)));
  return put_qid_of(out, *fid.node, name);
}

OrErrno<> FileServer::make_folder(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto text = in.text();
  const auto mode = in.take<std::uint32_t>();
  in.take<std::uint32_t>();  // the group
  if (!in.good()) return failed_with(EINVAL);
  TRY(check_writable());
  const std::string name = TRY(SharedFolder::checked_name(text));
  const Fid fid = TRY(find(number));
  TRY(checked(::mkdirat(fid.node->fd.get(), name.c_str(), mode & 03777)));
  return put_qid_of(out, *fid.node, name);
}

OrErrno<> FileServer::link(MessageReader& in, MessageWriter&) {
  const auto folder_number = in.take<std::uint32_t>();
  const auto number = in.take<std::uint32_t>();
  const auto text = in.text();
  if (!in.good()) return failed_with(EINVAL);
  TRY(check_writable());
  const std::string name = TRY(SharedFolder::checked_name(text));
  const Fid folder = TRY(find(folder_number));
  const Fid fid = TRY(find(number));
  const std::string path = TRY(SharedFolder::path_of(*fid.node));
  return checked(
      ::linkat(AT_FDCWD, path.c_str(), folder.node->fd.get(), name.c_str(), AT_SYMLINK_FOLLOW));
}

OrErrno<> FileServer::rename_at(MessageReader& in, MessageWriter&) {
  const auto number = in.take<std::uint32_t>();
  const auto text = in.text();
  const auto new_number = in.take<std::uint32_t>();
  const auto new_text = in.text();
  if (!in.good()) return failed_with(EINVAL);
  TRY(check_writable());
  const std::string name = TRY(SharedFolder::checked_name(text));
  const std::string new_name = TRY(SharedFolder::checked_name(new_text));
  const Fid from = TRY(find(number));
  const Fid to = TRY(find(new_number));
  return checked(
      ::renameat(from.node->fd.get(), name.c_str(), to.node->fd.get(), new_name.c_str()));
}

OrErrno<> FileServer::unlink_at(MessageReader& in, MessageWriter&) {
  const auto number = in.take<std::uint32_t>();
  const auto text = in.text();
  const auto flags = in.take<std::uint32_t>();
  if (!in.good()) return failed_with(EINVAL);
  TRY(check_writable());
  const std::string name = TRY(SharedFolder::checked_name(text));
  const Fid fid = TRY(find(number));
  const int how = (flags & ninep::kRemoveFolder) != 0 ? AT_REMOVEDIR : 0;
  return checked(::unlinkat(fid.node->fd.get(), name.c_str(), how));
}

}  // namespace vireo::backends
