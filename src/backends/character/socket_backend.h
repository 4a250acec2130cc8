#pragma once
#include <memory>
#include <string>

#include "backends/character/char_backend.h"

namespace vireo::backends {

/// A listening Unix socket. One client at a time; others wait until it leaves. What the guest says
/// while nobody listens is kept, the newest 64 KiB of it, for the next client. The socket file is
/// removed at the end. A usage error if the path is something else than an abandoned socket.
Result<std::unique_ptr<CharBackend>> open_socket_backend(const std::string& path);

/// A pseudo terminal; its path is printed on standard error.
Result<std::unique_ptr<CharBackend>> open_pty_backend();

}  // namespace vireo::backends
