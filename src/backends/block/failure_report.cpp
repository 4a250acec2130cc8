#include "backends/block/failure_report.h"

#include <fmt/format.h>

#include <cerrno>
#include <string_view>

namespace vireo::backends {
namespace {

std::string_view what_to_do(bool read, int error) {
  switch (error) {
    case ENOSPC:
      return "; make room on the disk where it lies";
    case EDQUOT:
      return "; raise the quota where it lies, or remove files of yours";
    case EFBIG:
      return "; raise the limit on the size of files (ulimit -f), or use a file system with larger "
             "ones";
    case EPERM:
      return "; give format=raw if the guest may make another image format of its disk";
    default:
      return read ? "; look whether the image is damaged" : "; look what the host's kernel says";
  }
}

}  // namespace

void FailureReport::tell(BlockOperation operation, std::error_code error) {
  const bool read = operation == BlockOperation::kRead;
  {
    const std::lock_guard lock(mutex_);
    if (!told_.emplace(read, error.value()).second) return;
  }
  fmt::print(stderr, "vireo: the guest sees I/O errors, for the {} cannot be {}: {}{}\n", image_,
             read ? "read" : "written", error.message(), what_to_do(read, error.value()));
}

}  // namespace vireo::backends
