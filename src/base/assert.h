#pragma once

namespace vireo {

/// Says where our own mistake was found and aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace vireo

/// For our own bugs only: stays on in release. Never for what a guest or the host can cause.
#define VIREO_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::vireo::assertion_failed(#expression, __FILE__, __LINE__))
