#pragma once
#include <fcntl.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "backends/share/shared_folder.h"

namespace vireo::backends {

/// Locks of ranges of files, as a guest's processes have them and the host's programs see them.
/// Which of its own processes gets a lock the guest has decided before it asks. Thread safe.
class FileLocks {
 public:
  /// A process of the guest at a file. Its locks last as long as somebody holds this.
  struct Holder {
    std::shared_ptr<Node> file;  ///< open; the locks are this open file's
  };
  using Held = std::vector<std::shared_ptr<Holder>>;

  /// `range` says what and where, for fcntl(); not F_UNLCK. True if it is had, false if somebody
  /// else has it. What is locked through a fid is added to its `held`.
  OrErrno<bool> lock(const SharedFolder& folder, const Node& node, std::uint32_t process,
                     struct flock range, Held& held);
  /// Of the process, and of all that locked through the fid: a lock may be inherited.
  void unlock(const Node& node, std::uint32_t process, struct flock range, const Held& held);
  /// Changes the range into what is in the way of it, or its type to F_UNLCK.
  OrErrno<> find_other(const SharedFolder& folder, const Node& node, std::uint32_t process,
                       struct flock& range);

 private:
  struct Key {
    dev_t device;
    ino_t inode;
    std::uint32_t process;
    auto operator<=>(const Key&) const = default;
  };
  static OrErrno<Key> key_of(const Node& node, std::uint32_t process);
  OrErrno<std::shared_ptr<Holder>> holder(const SharedFolder& folder, const Node& node,
                                          std::uint32_t process);

  std::mutex mutex_;  // guards what follows; held during system calls that do not wait
  std::map<Key, std::weak_ptr<Holder>> holders_;
};

}  // namespace vireo::backends
