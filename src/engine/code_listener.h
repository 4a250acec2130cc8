#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace vireo::engine {

/// Told of the host code that an engine makes of guest code. Called on the threads of the vCPUs.
class CodeListener {
 public:
  virtual ~CodeListener() = default;
  /// `code`, where it will run, is the translation of guest code that was executed at `rip`. It may
  /// take the place of earlier code.
  virtual void code_made(std::span<const std::uint8_t> code, std::uint64_t rip) = 0;
};

}  // namespace vireo::engine
