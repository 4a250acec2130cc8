#pragma once
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "backends/block/block_backend.h"

namespace vireo::backends {

/// Tells the user what the guest is told too: that its disk has failed. One sentence on standard
/// error for each kind of failure, however often it comes. Thread safe.
class FailureReport {
 public:
  /// `image`: as BlockBackend::name() has it.
  explicit FailureReport(std::string image) : image_(std::move(image)) {}

  /// What a request came to; nothing if that is no error.
  void note(BlockOperation operation, std::error_code error) {
    if (error) tell(operation, error);
  }

 private:
  void tell(BlockOperation operation, std::error_code error);

  const std::string image_;
  std::mutex mutex_;  // guards what follows; a leaf
  std::set<std::pair<bool, int>> told_;
};

}  // namespace vireo::backends
