#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/code_listener.h"

namespace vireo::engine {

/// The file by which `perf report` names samples in generated code: a line "START SIZE NAME" with
/// hexadecimal numbers for each piece of code; the name is guest:0xRIP. Of pieces at the same
/// addresses, one after the other, perf knows only one.
class PerfMap final : public CodeListener {
 public:
  /// Where perf looks for the map of this process.
  static std::string default_path();
  /// Makes the file anew.
  static Result<std::unique_ptr<PerfMap>> create(const std::string& path);

  void code_made(std::span<const std::uint8_t> code, std::uint64_t rip) override;

 private:
  explicit PerfMap(UniqueFd file) : file_(std::move(file)) {}

  std::mutex mutex_;  // guards what follows
  UniqueFd file_;
};

}  // namespace vireo::engine
