#include "backends/block/request_check.h"

#include "backends/block/iovecs.h"

namespace vireo::backends {

std::error_code check_request(const BlockRequest& request, std::uint64_t size, bool read_only) {
  const BlockOperation operation = request.operation;
  if (operation == BlockOperation::kFlush) return {};
  if (request.offset > size || request.length > size - request.offset)
    return std::make_error_code(std::errc::invalid_argument);
  if (operation == BlockOperation::kRead || operation == BlockOperation::kWrite) {
    if (total_length(request.buffers) != request.length)
      return std::make_error_code(std::errc::invalid_argument);
  }
  if (operation != BlockOperation::kRead && read_only)
    return std::make_error_code(std::errc::read_only_file_system);
  return {};
}

}  // namespace vireo::backends
