#pragma once
#include <sys/un.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// Where the switches of a user are: a folder that nobody else can look into.
class SwitchFolder {
 public:
  /// $XDG_RUNTIME_DIR/vireo, or else /tmp/vireo-UID; made if it is not there. A folder that belongs
  /// to another user or that others may use is a host error.
  static Result<SwitchFolder> open();
  /// For tests: in this folder.
  static Result<SwitchFolder> open_at(const std::string& path);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  /// The address of a socket in the folder that was checked, whatever now has its name.
  sockaddr_un address_of(const std::string& file) const;

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace vireo::backends
