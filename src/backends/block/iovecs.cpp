#include "backends/block/iovecs.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace vireo::backends {

std::uint64_t total_length(std::span<const iovec> buffers) {
  std::uint64_t total = 0;
  for (const iovec& buffer : buffers) total += buffer.iov_len;
  return total;
}

void drop_front(std::span<iovec>& buffers, std::uint64_t count) {
  while (!buffers.empty() && count >= buffers.front().iov_len) {
    count -= buffers.front().iov_len;
    buffers = buffers.subspan(1);
  }
  if (count == 0) return;
  VIREO_ASSERT(!buffers.empty());
  iovec& front = buffers.front();
  front.iov_base = static_cast<std::uint8_t*>(front.iov_base) + count;
  front.iov_len -= count;
}

Iovecs slice(std::span<const iovec> buffers, std::uint64_t offset, std::uint64_t length) {
  Iovecs result;
  for (const iovec& buffer : buffers) {
    if (length == 0) break;
    if (offset >= buffer.iov_len) {
      offset -= buffer.iov_len;
      continue;
    }
    const std::uint64_t part = std::min<std::uint64_t>(buffer.iov_len - offset, length);
    result.push_back({static_cast<std::uint8_t*>(buffer.iov_base) + offset, part});
    length -= part;
    offset = 0;
  }
  VIREO_ASSERT(length == 0);
  return result;
}

void fill_zeroes(std::span<const iovec> buffers) {
  for (const iovec& buffer : buffers)
    if (buffer.iov_len != 0) std::memset(buffer.iov_base, 0, buffer.iov_len);
}

void copy_to(std::span<const iovec> buffers, std::span<const std::uint8_t> bytes) {
  for (const iovec& buffer : buffers) {
    if (buffer.iov_len == 0) continue;
    std::memcpy(buffer.iov_base, bytes.data(), buffer.iov_len);
    bytes = bytes.subspan(buffer.iov_len);
  }
}

void copy_from(std::span<std::uint8_t> bytes, std::span<const iovec> buffers) {
  for (const iovec& buffer : buffers) {
    if (buffer.iov_len == 0) continue;
    std::memcpy(bytes.data(), buffer.iov_base, buffer.iov_len);
    bytes = bytes.subspan(buffer.iov_len);
  }
}

}  // namespace vireo::backends
