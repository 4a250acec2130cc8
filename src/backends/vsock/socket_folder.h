#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// What a Unix socket carries: bytes (SOCK_STREAM) or messages (SOCK_SEQPACKET).
enum class SocketKind : std::uint8_t { kStream, kMessages };

/// A folder of Unix sockets by which programs of the host and a guest reach each other: who listens
/// at `PORT`, a decimal number, is found by the guest, and who connects to `connect`, or to
/// `connect-messages`, finds the guest. For one thread. All descriptors are non-blocking.
class SocketFolder {
 public:
  /// Listens in the folder, which must be there. A usage error if that cannot be.
  static Result<std::unique_ptr<SocketFolder>> open(const std::string& path);
  /// Removes what it listens at, unless somebody has put something else there.
  ~SocketFolder() = default;
  SocketFolder(const SocketFolder&) = delete;

  /// Readable when accept() has something.
  int listener(SocketKind kind) const { return listeners_[index(kind)].socket.get(); }
  /// Nothing if nobody is there any more, or if there are no descriptors left.
  UniqueFd accept(SocketKind kind);
  /// To who listens at the port with a socket of this kind; nothing if nobody does.
  UniqueFd connect(std::uint32_t port, SocketKind kind) const;

 private:
  struct Listener {
    std::string path;
    UniqueFd socket;
    std::uint64_t device = 0, inode = 0;  ///< of what we have put there
    ~Listener();
  };

  static constexpr std::size_t index(SocketKind kind) { return static_cast<std::size_t>(kind); }
  Result<> listen(SocketKind kind, std::string_view name);
  explicit SocketFolder(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  std::array<Listener, 2> listeners_;  ///< by kind
};

}  // namespace vireo::backends
