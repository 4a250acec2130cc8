#pragma once
#include <memory>

#include "backends/character/char_backend.h"

namespace vireo::backends {

/// Standard input and output: a terminal in raw mode, or whatever they were redirected to. The
/// escape commands of EscapeFilter work in both cases. The end of the input ends nothing.
Result<std::unique_ptr<CharBackend>> open_stdio_backend(TerminalActions actions);

/// A file that is created or truncated; also any device or FIFO that can be written.
Result<std::unique_ptr<CharBackend>> open_file_backend(const std::string& path);

/// Standard output alone.
Result<std::unique_ptr<CharBackend>> open_stdout_backend();

}  // namespace vireo::backends
