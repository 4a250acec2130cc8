#include "devices/virtio/virtio_block.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "devices/virtio/virtio_block_layout.h"

namespace vireo::devices::virtio {

using backends::BlockOperation;

struct VirtioBlock::Range {
  std::uint64_t sector = 0;
  std::uint32_t sectors = 0;
  std::uint32_t flags = 0;
};

/// One request under way; used again for others.
struct VirtioBlock::Request {
  Chain chain;
  Virtqueue* queue = nullptr;
  std::uint32_t type = 0;
  std::uint64_t filled = 0;  ///< bytes from the start of the writable buffers, if all goes well
  std::vector<iovec> buffers;
  std::vector<Range> ranges;
  std::atomic<unsigned> parts = 0;  ///< of it that the backend is still at
  std::atomic<bool> failed = false;
  bool flushes = false;  ///< a write is done when a flush after it is
};

VirtioBlock::VirtioBlock(backends::BlockBackend& backend, memory::GuestMemory& memory,
                         Config config)
    : backend_(backend), memory_(memory), config_(std::move(config)) {}

VirtioBlock::~VirtioBlock() { drain(); }

std::uint64_t VirtioBlock::features() const {
  std::uint64_t result = block::kSegmentMax | block::kBlockSize | block::kFlush | block::kTopology;
  result |= backend_.read_only() ? block::kReadOnly : block::kDiscard | block::kWriteZeroes;
  if (config_.queues > 1) result |= block::kMultiQueue;
  return result;
}

void VirtioBlock::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  block::ConfigSpace space;
  const std::uint32_t block_sectors = backend_.preferred_block() / kSector;
  space.capacity = backend_.size() / kSector;
  space.segment_max = kQueueSize - 2;  // besides header and status
  space.block_size = kSector;
  space.physical_block_exponent = static_cast<std::uint8_t>(std::countr_zero(block_sectors));
  space.least_transfer = static_cast<std::uint16_t>(std::min(block_sectors, 0xffffu));
  space.queues = static_cast<std::uint16_t>(config_.queues);
  space.discard_sectors_max = space.write_zeroes_sectors_max = block::kRangeSectors;
  space.discard_ranges_max = space.write_zeroes_ranges_max = block::kRanges;
  space.discard_alignment = block_sectors;
  space.write_zeroes_may_unmap = 1;
  std::ranges::fill(data, std::byte{0});
  if (offset >= sizeof(space)) return;
  const auto bytes = std::as_bytes(std::span(&space, 1)).subspan(offset);
  std::memcpy(data.data(), bytes.data(), std::min(data.size(), bytes.size()));
}

void VirtioBlock::start(std::uint64_t features) {
  write_through_ = (features & block::kFlush) == 0;
}

void VirtioBlock::drain() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return under_way_ == 0; });
}

void VirtioBlock::serve(Virtqueue& queue) {
  queue.serve([&](Chain& chain) {
    Request& request = acquire();
    std::swap(request.chain, chain);
    request.queue = &queue;
    begin(request);
  });
}

VirtioBlock::Request& VirtioBlock::acquire() {
  const std::lock_guard lock(mutex_);
  ++under_way_;
  if (free_.empty()) return *requests_.emplace_back(std::make_unique<Request>());
  Request& request = *free_.back();
  free_.pop_back();
  request.buffers.clear();
  request.ranges.clear();
  request.filled = 0;
  request.failed = request.flushes = false;
  return request;
}

void VirtioBlock::release(Request& request) {
  const std::lock_guard lock(mutex_);
  free_.push_back(&request);
  if (--under_way_ == 0) idle_.notify_all();
}

void VirtioBlock::begin(Request& request) {
  block::Header header;
  const Chain& chain = request.chain;
  if (chain.writable_bytes() == 0 ||
      !copy_from(memory_, chain.readable(), 0, std::as_writable_bytes(std::span(&header, 1)))) {
    request.queue->refuse({"a disk request without header or status"});
    return release(request);
  }
  request.type = header.type;
  switch (header.type) {
    case block::kIn:
    case block::kOut:
      return begin_transfer(request, header.type == block::kOut, header.sector);
    case block::kFlushRequest:
      request.parts = 1;
      return submit(request, BlockOperation::kFlush, 0, 0, false);
    case block::kGetId:
      return tell_serial(request);
    case block::kDiscardRequest:
      return begin_ranges(request, BlockOperation::kDiscard);
    case block::kWriteZeroesRequest:
      return begin_ranges(request, BlockOperation::kWriteZeroes);
    default:
      return finish(request, block::kUnsupported, 0);
  }
}

bool VirtioBlock::in_disk(std::uint64_t sector, std::uint64_t bytes) const {
  const std::uint64_t sectors = backend_.size() / kSector;
  return bytes % kSector == 0 && sector <= sectors && bytes / kSector <= sectors - sector;
}

void VirtioBlock::begin_transfer(Request& request, bool write, std::uint64_t sector) {
  const Chain& chain = request.chain;
  const std::uint64_t start = write ? sizeof(block::Header) : 0;
  const std::uint64_t bytes = write ? chain.readable_bytes() - start : chain.writable_bytes() - 1;
  if (!in_disk(sector, bytes) || (write && backend_.read_only()))
    return finish(request, block::kError, 0);
  if (bytes == 0) return finish(request, block::kOk, 0);
  if (!map_buffers(memory_, write ? chain.readable() : chain.writable(), start, bytes,
                   write ? Direction::kFromGuest : Direction::kToGuest, request.buffers)) {
    request.queue->refuse({"a disk request with buffers outside memory"});
    return release(request);
  }
  request.filled = write ? 0 : bytes;
  request.flushes = write && write_through_;
  request.parts = 1;
  submit(request, write ? BlockOperation::kWrite : BlockOperation::kRead, sector * kSector, bytes,
         false);
}

bool VirtioBlock::read_ranges(Request& request) {
  const std::uint64_t bytes = request.chain.readable_bytes() - sizeof(block::Header);
  if (bytes == 0 || bytes % sizeof(Range) != 0 || bytes / sizeof(Range) > block::kRanges)
    return false;
  request.ranges.resize(bytes / sizeof(Range));
  return copy_from(memory_, request.chain.readable(), sizeof(block::Header),
                   std::as_writable_bytes(std::span(request.ranges)));
}

/// All ranges are judged before the first is touched. 5.2.6.2.
void VirtioBlock::begin_ranges(Request& request, BlockOperation operation) {
  if (backend_.read_only() || !read_ranges(request)) return finish(request, block::kError, 0);
  const std::uint32_t known = operation == BlockOperation::kWriteZeroes ? block::kUnmap : 0;
  for (const Range& range : request.ranges) {
    if ((range.flags & ~known) != 0) return finish(request, block::kUnsupported, 0);
    if (range.sectors > block::kRangeSectors || !in_disk(range.sector, range.sectors * kSector))
      return finish(request, block::kError, 0);
  }
  std::erase_if(request.ranges, [](const Range& range) { return range.sectors == 0; });
  if (request.ranges.empty()) return finish(request, block::kOk, 0);
  request.flushes = write_through_;
  const auto parts = request.ranges.size();
  request.parts = static_cast<unsigned>(parts);
  // The last part to be done gives the request away: it is not looked at behind that.
  for (std::size_t i = 0; i < parts; ++i) {
    const Range range = request.ranges[i];
    submit(request, operation, range.sector * kSector, range.sectors * kSector,
           (range.flags & block::kUnmap) != 0);
  }
}

void VirtioBlock::tell_serial(Request& request) {
  std::array<std::byte, kSerialBytes> serial{};
  std::memcpy(serial.data(), config_.serial.data(), std::min(config_.serial.size(), kSerialBytes));
  const auto bytes = std::min<std::uint64_t>(request.chain.writable_bytes() - 1, kSerialBytes);
  if (!copy_to(memory_, request.chain.writable(), 0, std::span(serial).first(bytes))) {
    request.queue->refuse({"a disk request with buffers outside memory"});
    return release(request);
  }
  finish(request, block::kOk, bytes);
}

void VirtioBlock::submit(Request& request, BlockOperation operation, std::uint64_t offset,
                         std::uint64_t length, bool may_unmap) {
  backends::BlockRequest part;
  part.operation = operation;
  part.offset = offset;
  part.length = length;
  if (operation == BlockOperation::kRead || operation == BlockOperation::kWrite)
    part.buffers = request.buffers;
  part.may_unmap = may_unmap;
  part.done = [this, &request](std::error_code error) {
    on_done(request, static_cast<bool>(error));
  };
  backend_.submit(std::move(part));
}

void VirtioBlock::on_done(Request& request, bool failed) {
  if (failed) request.failed = true;
  if (request.parts.fetch_sub(1) != 1) return;
  if (request.type == block::kIn) {
    // Also after an error: some of it may have been read.
    note_written(memory_, request.chain.writable(), 0, request.filled);
  }
  if (request.failed) return finish(request, block::kError, 0);
  if (std::exchange(request.flushes, false)) {
    request.parts = 1;
    return submit(request, BlockOperation::kFlush, 0, 0, false);
  }
  finish(request, block::kOk, request.filled);
}

/// `filled` bytes of the writable buffers hold what the driver asked for; the status is the last
/// of all. What is told to the driver is how many are certainly written, without a gap. 2.7.8.2.
void VirtioBlock::finish(Request& request, std::uint8_t status, std::uint64_t filled) {
  const std::uint64_t last = request.chain.writable_bytes() - 1;
  if (copy_to(memory_, request.chain.writable(), last, std::as_bytes(std::span(&status, 1)))) {
    const std::uint64_t written = filled == last ? last + 1 : filled;
    request.queue->give_back(
        request.chain, static_cast<std::uint32_t>(std::min<std::uint64_t>(written, 0xffffffff)));
  } else {
    request.queue->refuse({"a disk request with its status outside memory"});
  }
  release(request);
}

}  // namespace vireo::devices::virtio
