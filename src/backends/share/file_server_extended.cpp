// Extended attributes: those of users, and access control lists. What a fid stands for is one whole
// attribute, read when it is found, or set when it is clunked.
#include <linux/limits.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "backends/share/file_server.h"

namespace vireo::backends {
namespace {

/// What is for guests. Not capabilities, by which a file runs with more than its user has on the
/// host, and not what the host's security modules and administrators keep there.
bool is_for_guests(std::string_view name) {
  return name.starts_with("user.") || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

OrErrno<std::string> checked_attribute(std::string_view name) {
  if (name.size() > XATTR_NAME_MAX) return failed_with(ERANGE);
  if (name.find('\0') != name.npos) return failed_with(EINVAL);
  return std::string(name);
}

/// Calls with a buffer that is as large as values and lists can be; what it has filled of it.
template <class Body>
OrErrno<std::vector<std::byte>> filled_by(Body body) {
  static_assert(XATTR_SIZE_MAX >= XATTR_LIST_MAX);
  std::vector<std::byte> bytes(XATTR_SIZE_MAX);
  const ssize_t size = body(bytes.data(), bytes.size());
  if (size < 0) return failed_with(errno);
  return std::vector(bytes.begin(), bytes.begin() + size);
}

/// Names, each with a zero behind it.
std::vector<std::byte> names_for_guests(const std::vector<std::byte>& names) {
  std::vector<std::byte> result;
  for (auto at = names.begin(); at != names.end();) {
    const auto end = std::find(at, names.end(), std::byte{0});
    if (end == names.end()) break;
    std::string name;
    std::transform(at, end, std::back_inserter(name),
                   [](std::byte byte) { return static_cast<char>(byte); });
    if (is_for_guests(name)) result.insert(result.end(), at, end + 1);
    at = end + 1;
  }
  return result;
}

OrErrno<std::vector<std::byte>> value_of(const Node& node, const std::string& name) {
  const std::string path = TRY(SharedFolder::path_of(node));
  if (name.empty()) {
    return names_for_guests(TRY(filled_by([&](std::byte* bytes, std::size_t size) {
      // SAFETY: bytes written as characters.
      return ::listxattr(path.c_str(), reinterpret_cast<char*>(bytes), size);
    })));
  }
  if (!is_for_guests(name)) return failed_with(ENODATA);
  return filled_by([&](std::byte* bytes, std::size_t size) {
    return ::getxattr(path.c_str(), name.c_str(), bytes, size);
  });
}

}  // namespace

/// The new fid is the attribute, or without a name the list of names; the answer says how long.
OrErrno<> FileServer::find_extended(MessageReader& in, MessageWriter& out) {
  const auto number = in.take<std::uint32_t>();
  const auto new_number = in.take<std::uint32_t>();
  const auto text = in.text();
  if (!in.good()) return failed_with(EINVAL);
  const Fid fid = TRY(find(number));
  auto attribute = std::make_shared<Fid::Extended>();
  attribute->node = fid.node;
  attribute->name = TRY(checked_attribute(text));
  attribute->value = TRY(value_of(*fid.node, attribute->name));
  out.put(std::uint64_t{attribute->value.size()});
  return add(new_number, {fid.node, nullptr, std::move(attribute)});
}

/// From here on the fid is an attribute that is to be set, once all of its bytes are written.
OrErrno<> FileServer::make_extended(MessageReader& in, MessageWriter&) {
  const auto number = in.take<std::uint32_t>();
  const auto text = in.text();
  const auto size = in.take<std::uint64_t>();
  const auto flags = in.take<std::uint32_t>();
  if (!in.good() || (flags & ~(ninep::kMustBeNew | ninep::kMustExist)) != 0)
    return failed_with(EINVAL);
  TRY(check_writable());
  if (size > XATTR_SIZE_MAX) return failed_with(E2BIG);
  auto attribute = std::make_shared<Fid::Extended>();
  attribute->name = TRY(checked_attribute(text));
  if (!is_for_guests(attribute->name)) return failed_with(EOPNOTSUPP);
  attribute->writes = true;
  attribute->flags = ((flags & ninep::kMustBeNew) != 0 ? XATTR_CREATE : 0) |
                     ((flags & ninep::kMustExist) != 0 ? XATTR_REPLACE : 0);
  attribute->value.resize(size);
  const std::lock_guard lock(mutex_);
  const auto found = fids_.find(number);
  if (found == fids_.end()) return failed_with(EBADF);
  Fid& fid = found->second;
  if (fid.opened || fid.extended) return failed_with(EBUSY);
  if (extended_ >= kMostExtended) return failed_with(ENFILE);
  ++extended_;
  attribute->node = fid.node;
  fid.extended = std::move(attribute);
  return {};
}

OrErrno<> FileServer::read_extended(Fid::Extended& attribute, std::uint64_t offset,
                                    std::uint32_t wanted, MessageWriter& out) {
  const std::lock_guard lock(attribute.mutex);
  const std::span<const std::byte> value = attribute.value;
  const auto rest = value.subspan(std::min<std::uint64_t>(offset, value.size()));
  const std::size_t room = out.room() - sizeof(wanted);
  const auto data = rest.first(std::min({rest.size(), std::size_t{wanted}, room}));
  out.put(static_cast<std::uint32_t>(data.size()));
  out.raw(data);
  return {};
}

/// In order, as clients do.
OrErrno<> FileServer::write_extended(Fid::Extended& attribute, std::uint64_t offset,
                                     std::span<const std::byte> data, MessageWriter& out) {
  const std::lock_guard lock(attribute.mutex);
  if (!attribute.writes || offset != attribute.filled ||
      data.size() > attribute.value.size() - attribute.filled)
    return failed_with(EINVAL);
  std::ranges::copy(data, attribute.value.begin() + static_cast<std::ptrdiff_t>(attribute.filled));
  attribute.filled += data.size();
  out.put(static_cast<std::uint32_t>(data.size()));
  return {};
}

/// Nothing, where there must be something, is how a client takes an attribute away.
OrErrno<> FileServer::set_extended(Fid::Extended& attribute) {
  const std::lock_guard lock(attribute.mutex);
  if (attribute.filled != attribute.value.size()) return failed_with(EINVAL);
  const std::string path = TRY(SharedFolder::path_of(*attribute.node));
  const char* name = attribute.name.c_str();
  const auto& value = attribute.value;
  const bool removed = value.empty() && attribute.flags == XATTR_REPLACE;
  const int result =
      removed ? ::removexattr(path.c_str(), name)
              : ::setxattr(path.c_str(), name, value.data(), value.size(), attribute.flags);
  if (result != 0) return failed_with(errno);
  return {};
}

}  // namespace vireo::backends
