#include "devices/virtio/chain.h"

#include <algorithm>

namespace vireo::devices::virtio {
namespace {

/// Calls body(address, size, position) for each piece of the row that lies in one buffer; false as
/// soon as it answers so, or if the row ends early.
template <class Body>
bool for_each_piece(std::span<const Buffer> row, std::uint64_t offset, std::uint64_t length,
                    Body body) {
  std::uint64_t position = 0;
  for (const Buffer& buffer : row) {
    if (position == length) return true;
    if (offset >= buffer.length) {
      offset -= buffer.length;
      continue;
    }
    const std::uint64_t size = std::min(buffer.length - offset, length - position);
    if (!body(buffer.address + offset, size, position)) return false;
    position += size;
    offset = 0;
  }
  return position == length;
}

}  // namespace

void Chain::clear() {
  readable_.clear();
  writable_.clear();
  readable_bytes_ = writable_bytes_ = 0;
  id = 0;
  slots = 1;
}

OrDriverError<> Chain::add(const Buffer& buffer, bool writable) {
  if (buffer.length == 0) return driver_error("a buffer without bytes");
  if (!writable && !writable_.empty()) return driver_error("a readable buffer behind a writable");
  if (readable_.size() + writable_.size() == kMostBuffers) return driver_error("too many buffers");
  if (readable_bytes_ + writable_bytes_ + buffer.length > kMostBytes)
    return driver_error("a request of too many bytes");
  (writable ? writable_ : readable_).push_back(buffer);
  (writable ? writable_bytes_ : readable_bytes_) += buffer.length;
  return {};
}

bool copy_from(const memory::GuestMemory& memory, std::span<const Buffer> row, std::uint64_t offset,
               std::span<std::byte> data) {
  return for_each_piece(row, offset, data.size(),
                        [&](PhysAddr address, std::uint64_t size, std::uint64_t position) {
                          return memory.read(address, data.subspan(position, size));
                        });
}

bool copy_to(memory::GuestMemory& memory, std::span<const Buffer> row, std::uint64_t offset,
             std::span<const std::byte> data) {
  return for_each_piece(row, offset, data.size(),
                        [&](PhysAddr address, std::uint64_t size, std::uint64_t position) {
                          return memory.write(address, data.subspan(position, size));
                        });
}

bool map_buffers(const memory::GuestMemory& memory, std::span<const Buffer> row,
                 std::uint64_t offset, std::uint64_t length, Direction direction,
                 std::vector<iovec>& result) {
  const auto map_piece = [&](PhysAddr address, std::uint64_t size, std::uint64_t) {
    while (size != 0) {
      std::byte* page = direction == Direction::kToGuest ? memory.host_page_for_write(address)
                                                         : memory.host_page(address);
      if (page == nullptr) return false;
      const std::uint64_t in_page = value(address) & kPageMask;
      const std::uint64_t bytes = std::min(size, kPageSize - in_page);
      std::byte* const start = page + in_page;
      if (!result.empty() &&
          static_cast<std::byte*>(result.back().iov_base) + result.back().iov_len == start) {
        result.back().iov_len += bytes;
      } else {
        result.push_back({start, bytes});
      }
      address = address + bytes;
      size -= bytes;
    }
    return true;
  };
  return for_each_piece(row, offset, length, map_piece);
}

void note_written(memory::GuestMemory& memory, std::span<const Buffer> row, std::uint64_t offset,
                  std::uint64_t length) {
  for_each_piece(row, offset, length, [&](PhysAddr address, std::uint64_t size, std::uint64_t) {
    memory.note_write(address, size);
    return true;
  });
}

}  // namespace vireo::devices::virtio
