#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

namespace vireo::backends {

/// Buffers in pieces, as the host's calls take them. What they point at belongs to others.
using Iovecs = std::vector<iovec>;

std::uint64_t total_length(std::span<const iovec> buffers);

/// The part of `buffers` that begins at `offset` and is `length` bytes long; both lie inside.
Iovecs slice(std::span<const iovec> buffers, std::uint64_t offset, std::uint64_t length);

/// Takes `count` bytes off the front; there are as many.
void drop_front(std::span<iovec>& buffers, std::uint64_t count);

void fill_zeroes(std::span<const iovec> buffers);
/// Both are as long as `bytes`.
void copy_to(std::span<const iovec> buffers, std::span<const std::uint8_t> bytes);
void copy_from(std::span<std::uint8_t> bytes, std::span<const iovec> buffers);

}  // namespace vireo::backends
