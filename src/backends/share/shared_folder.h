#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "backends/share/errno_result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// A file, folder or link below a shared folder: the thing itself, whatever its name is by now.
struct Node {
  UniqueFd fd;  ///< O_PATH, or open
  mode_t type;  ///< S_IFREG, S_IFDIR ...: never changes
};

/// A folder of the host that a guest sees, and the ways to what is in it. None leads out: names are
/// single components, links are never followed, and nothing but regular files and folders is
/// opened. What the host's permissions allow the user who runs this, the guest may do. Thread safe.
class SharedFolder {
 public:
  /// A usage error if there is no such folder.
  static Result<std::unique_ptr<SharedFolder>> open(const std::string& path, bool read_only);

  const std::shared_ptr<Node>& root() const { return root_; }
  bool read_only() const { return read_only_; }

  /// `name` for a system call; EINVAL, ENAMETOOLONG or ENOENT for what is no name in a folder, the
  /// folder itself and the one above included.
  static OrErrno<std::string> checked_name(std::string_view name);
  OrErrno<std::shared_ptr<Node>> look_up(const Node& folder, const std::string& name) const;
  /// A regular file, or a folder for reading; `flags` as open() has them.
  OrErrno<std::shared_ptr<Node>> open(const Node& node, int flags) const;
  /// A regular file, new unless it exists and `flags` lack O_EXCL.
  OrErrno<std::shared_ptr<Node>> create(const Node& folder, const std::string& name, int flags,
                                        mode_t mode) const;
  /// A path by which a system call without descriptors reaches it; not for links.
  static OrErrno<std::string> path_of(const Node& node);
  /// A number for a file that no other in the share has.
  std::uint64_t identity(const struct stat& info);

  /// Descriptors of shares begin here, so that parts of this process which count on small numbers
  /// keep them.
  static constexpr int kFirstDescriptor = 1024;

 private:
  SharedFolder(UniqueFd fd, bool read_only);

  const std::shared_ptr<Node> root_;
  const bool read_only_;
  std::mutex mutex_;                             // guards what follows; a leaf
  std::map<dev_t, std::uint64_t> file_systems_;  // in the order in which they were met
};

}  // namespace vireo::backends
