#include "backends/share/file_server.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

namespace vireo::backends {

using ninep::Kind;

FileServer::Operation FileServer::operation_of(Kind kind) {
  switch (kind) {
    case Kind::kVersion:
      return &FileServer::version;
    case Kind::kAttach:
      return &FileServer::attach;
    case Kind::kWalk:
      return &FileServer::walk;
    case Kind::kClunk:
      return &FileServer::clunk;
    case Kind::kRemove:
      return &FileServer::remove;
    case Kind::kOpen:
      return &FileServer::open;
    case Kind::kCreate:
      return &FileServer::create;
    case Kind::kRead:
      return &FileServer::read;
    case Kind::kWrite:
      return &FileServer::write;
    case Kind::kReadFolder:
      return &FileServer::read_folder;
    case Kind::kSync:
      return &FileServer::sync;
    case Kind::kLock:
      return &FileServer::lock;
    case Kind::kGetLock:
      return &FileServer::get_lock;
    case Kind::kStatfs:
      return &FileServer::statfs;
    case Kind::kGetAttributes:
      return &FileServer::get_attributes;
    case Kind::kSetAttributes:
      return &FileServer::set_attributes;
    case Kind::kFindExtended:
      return &FileServer::find_extended;
    case Kind::kMakeExtended:
      return &FileServer::make_extended;
    case Kind::kReadLink:
      return &FileServer::read_link;
    case Kind::kSymlink:
      return &FileServer::symlink;
    case Kind::kMakeNode:
      return &FileServer::make_node;
    case Kind::kMakeFolder:
      return &FileServer::make_folder;
    case Kind::kLink:
      return &FileServer::link;
    case Kind::kRenameAt:
      return &FileServer::rename_at;
    case Kind::kUnlinkAt:
      return &FileServer::unlink_at;
    default:
      return nullptr;
  }
}

void FileServer::prepare_thread() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  // Only this thread's: others write files of their user.
  if (::unshare(CLONE_FS) == 0) ::umask(0);
}

std::size_t FileServer::handle(std::span<const std::byte> message, std::span<std::byte> answer) {
  MessageReader in(message);
  in.take<std::uint32_t>();  // its size
  const auto kind = in.take<std::uint8_t>();
  const auto tag = in.take<std::uint16_t>();
  const std::size_t most = std::min<std::size_t>(answer.size(), message_bytes_);
  MessageWriter out(answer.first(std::max(most, ninep::kErrorBytes)));
  const auto header = out.skip(ninep::kHeaderBytes);

  auto done = [&]() -> OrErrno<> {
    const Operation operation = operation_of(static_cast<Kind>(kind));
    if (operation == nullptr) return failed_with(EOPNOTSUPP);
    if (message.size() > message_bytes_) return failed_with(EMSGSIZE);
    TRY((this->*operation)(in, out));
    if (!out.good()) return failed_with(EMSGSIZE);
    return {};
  }();
  std::uint8_t answer_kind = kind + 1;
  if (!done) {
    answer_kind = static_cast<std::uint8_t>(Kind::kError) + 1;
    out.cut(ninep::kHeaderBytes);
    out.put(static_cast<std::uint32_t>(done.error().number));
  }
  MessageWriter head(header);
  head.put(static_cast<std::uint32_t>(out.size()));
  head.put(answer_kind);
  head.put(tag);
  return out.size();
}

void FileServer::reset() {
  std::map<std::uint32_t, Fid> gone;  // closed without the lock
  const std::lock_guard lock(mutex_);
  gone.swap(fids_);
  extended_ = 0;
  message_bytes_ = kLeastMessageBytes;
}

std::size_t FileServer::fids() const {
  const std::lock_guard lock(mutex_);
  return fids_.size();
}

OrErrno<FileServer::Fid> FileServer::find(std::uint32_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = fids_.find(number);
  if (found == fids_.end()) return failed_with(EBADF);
  return found->second;
}

OrErrno<FileServer::Fid> FileServer::find_open(std::uint32_t number) const {
  Fid fid = TRY(find(number));
  if (!fid.opened) return failed_with(EBADF);
  return fid;
}

OrErrno<> FileServer::add(std::uint32_t number, Fid fid) {
  const std::lock_guard lock(mutex_);
  if (number == ninep::kNoFid) return failed_with(EINVAL);
  if (fids_.size() >= kMostFids) return failed_with(ENFILE);
  const bool extended = fid.extended != nullptr;
  if (extended && extended_ >= kMostExtended) return failed_with(ENFILE);
  if (!fids_.try_emplace(number, std::move(fid)).second) return failed_with(EINVAL);
  if (extended) ++extended_;
  return {};
}

OrErrno<> FileServer::set_open(std::uint32_t number, std::shared_ptr<Node> file) {
  auto opened = std::make_shared<Fid::Opened>();
  opened->file = std::move(file);
  const std::lock_guard lock(mutex_);
  const auto found = fids_.find(number);
  if (found == fids_.end() || found->second.opened || found->second.extended)
    return failed_with(EBADF);
  found->second = {opened->file, opened, nullptr};
  return {};
}

OrErrno<> FileServer::check_writable() const {
  if (folder_->read_only()) return failed_with(EROFS);
  return {};
}

void FileServer::put_qid(MessageWriter& out, const struct stat& info) {
  constexpr std::uint8_t kFolder = 0x80, kLink = 0x02;
  std::uint8_t type = 0;
  if (S_ISDIR(info.st_mode)) type = kFolder;
  if (S_ISLNK(info.st_mode)) type = kLink;
  out.put(type);
  out.put(std::uint32_t{0});
  out.put(folder_->identity(info));
}

OrErrno<> FileServer::put_qid(MessageWriter& out, const Node& node) {
  struct stat info = {};
  if (::fstat(node.fd.get(), &info) != 0) return failed_with(errno);
  put_qid(out, info);
  return {};
}

OrErrno<> FileServer::put_qid_of(MessageWriter& out, const Node& folder, const std::string& name) {
  struct stat info = {};
  if (::fstatat(folder.fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return failed_with(errno);
  put_qid(out, info);
  return {};
}

/// A new session: what was before is forgotten.
OrErrno<> FileServer::version(MessageReader& in, MessageWriter& out) {
  const auto size = in.take<std::uint32_t>();
  const bool known = in.text() == "9P2000.L";
  if (!in.good() || size < kLeastMessageBytes) return failed_with(EINVAL);
  reset();
  message_bytes_ = std::min(size, kMostMessageBytes);
  out.put(message_bytes_.load());
  out.text(known ? "9P2000.L" : "unknown");
  return {};
}

/// Everybody gets the shared folder: which of its users it is the guest decides, and what they may
/// do the host does.
OrErrno<> FileServer::attach(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto authentication = in.take<std::uint32_t>();
  in.text();  // the user's name
  const auto tree = in.text();
  if (!in.good() || authentication != ninep::kNoFid) return failed_with(EINVAL);
  if (!tree.empty() && tree != "/") return failed_with(ENOENT);
  TRY(put_qid(out, *folder_->root()));
  return add(number, {folder_->root(), nullptr, nullptr});
}

/// Answers with the qids of as many names as there are; only if there are all of them the new fid
/// exists.
OrErrno<> FileServer::walk(MessageReader& in, MessageWriter& out) {
  constexpr unsigned kMostNames = 16;
  const auto number = in.take<std::uint32_t>();
  const auto new_number = in.take<std::uint32_t>();
  const unsigned count = in.take<std::uint16_t>();
  if (count > kMostNames) return failed_with(EINVAL);
  std::vector<std::string_view> names;
  for (unsigned i = 0; i < count; ++i) names.push_back(in.text());
  if (!in.good()) return failed_with(EINVAL);

  const Fid fid = TRY(find(number));
  std::shared_ptr<Node> node = fid.node;
  const auto found_count = out.skip(sizeof(std::uint16_t));
  std::uint16_t found = 0;
  for (const std::string_view text : names) {
    auto next = [&]() -> OrErrno<std::shared_ptr<Node>> {
      const std::string name = TRY(SharedFolder::checked_name(text));
      auto result = TRY(folder_->look_up(*node, name));
      TRY(put_qid(out, *result));
      return result;
    }();
    if (!next && found == 0) return failed_with(next.error().number);
    if (!next) break;
    node = std::move(*next);
    ++found;
  }
  if (!found_count.empty()) MessageWriter(found_count).put(found);
  if (found < count || !out.good()) return {};
  if (new_number != number) return add(new_number, {std::move(node), nullptr, nullptr});
  if (fid.opened || fid.extended) return failed_with(EBUSY);
  const std::lock_guard lock(mutex_);
  const auto place = fids_.find(number);
  if (place == fids_.end()) return failed_with(EBADF);
  std::swap(place->second.node, node);
  return {};
}

OrErrno<> FileServer::clunk(MessageReader& in, MessageWriter&) {
  const auto number = in.take<std::uint32_t>();
  Fid gone;  // closed without the lock
  {
    const std::lock_guard lock(mutex_);
    const auto found = fids_.find(number);
    if (!in.good() || found == fids_.end()) return failed_with(EBADF);
    gone = std::move(found->second);
    fids_.erase(found);
    if (gone.extended) --extended_;
  }
  if (gone.extended && gone.extended->writes) return set_extended(*gone.extended);
  return {};
}

/// Clients that know Tunlinkat, which names what is to go, do without. The fid goes in any case.
OrErrno<> FileServer::remove(MessageReader& in, MessageWriter& out) {
  TRY(clunk(in, out));
  return failed_with(EOPNOTSUPP);
}

}  // namespace vireo::backends
