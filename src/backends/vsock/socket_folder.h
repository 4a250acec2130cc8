#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// A folder of Unix sockets by which programs of the host and a guest reach each other: who listens
/// at `PORT`, a decimal number, is found by the guest, and who connects to `connect` finds the
/// guest. For one thread. All descriptors are non-blocking.
class SocketFolder {
 public:
  /// Listens at `connect` in the folder, which must be there. A usage error if that cannot be.
  static Result<std::unique_ptr<SocketFolder>> open(const std::string& path);
  /// Removes `connect`, unless somebody has put something else there.
  ~SocketFolder();
  SocketFolder(const SocketFolder&) = delete;

  /// Readable when accept() has something.
  int listener() const { return listener_.get(); }
  /// Nothing if nobody is there any more, or if there are no descriptors left.
  UniqueFd accept();
  /// To who listens at the port; nothing if nobody does.
  UniqueFd connect(std::uint32_t port) const;

 private:
  explicit SocketFolder(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  UniqueFd listener_;
  std::uint64_t device_ = 0, inode_ = 0;  ///< of what we have put there
};

}  // namespace vireo::backends
