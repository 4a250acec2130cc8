#include "backends/character/char_backend.h"

#include <string>

#include "backends/character/memory_backend.h"
#include "backends/character/socket_backend.h"
#include "backends/character/stdio_backend.h"

namespace vireo::backends {
namespace {

constexpr std::string_view kFilePrefix = "file:", kSocketPrefix = "unix:";

std::string after(std::string_view spec, std::string_view prefix) {
  return std::string(spec.substr(prefix.size()));
}

}  // namespace

Result<std::unique_ptr<CharBackend>> open_char_backend(std::string_view spec,
                                                       TerminalActions actions) {
  if (spec == "stdio") return open_stdio_backend(std::move(actions));
  if (spec == "none") return std::make_unique<NullBackend>();
  if (spec == "pty") return open_pty_backend();
  if (spec.starts_with(kFilePrefix)) return open_file_backend(after(spec, kFilePrefix));
  if (spec.starts_with(kSocketPrefix)) return open_socket_backend(after(spec, kSocketPrefix));
  return usage_error("'{}' is no serial port; use stdio, none, file:PATH, unix:PATH or pty", spec);
}

Result<std::unique_ptr<CharBackend>> open_char_output(std::string_view spec) {
  if (spec == "stdio") return open_stdout_backend();
  if (spec.starts_with(kFilePrefix)) return open_file_backend(after(spec, kFilePrefix));
  return usage_error("'{}' is no output; use stdio or file:PATH", spec);
}

}  // namespace vireo::backends
