#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"
#include "devices/virtio/driver_error.h"
#include "memory/guest_memory.h"

namespace vireo::devices::virtio {

/// Guest memory that a driver lends to a device: the guest's numbers, not looked up yet.
struct Buffer {
  PhysAddr address{};
  std::uint32_t length = 0;
  bool operator==(const Buffer&) const = default;
};

/// One request in a queue: the buffers that the device reads, and those that it writes. Values:
/// nothing here points into guest memory. A device gives it back to the queue that it came from.
class Chain {
 public:
  /// More buffers than this, or more bytes, and the driver is mistaken. 2.7.5.3.2 allows 2^32.
  static constexpr std::size_t kMostBuffers = 1024;
  static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 32;

  const std::vector<Buffer>& readable() const { return readable_; }
  const std::vector<Buffer>& writable() const { return writable_; }
  std::uint64_t readable_bytes() const { return readable_bytes_; }
  std::uint64_t writable_bytes() const { return writable_bytes_; }

  // For rings.
  void clear();
  /// Refuses what no driver may do: empty buffers, readable ones behind writable ones, too many.
  OrDriverError<> add(const Buffer& buffer, bool writable);
  std::uint16_t id = 0;     ///< by which the driver knows it
  std::uint16_t slots = 1;  ///< of the descriptor ring, for packed rings

 private:
  std::vector<Buffer> readable_, writable_;
  std::uint64_t readable_bytes_ = 0, writable_bytes_ = 0;
};

/// A request that is done, and how many bytes of its writable buffers were written.
struct Done {
  const Chain* chain;
  std::uint32_t written;
};

// Bytes of a row of buffers, from `offset` on. False if the row is too short, or if one of the
// buffers lies outside memory (for writing: outside RAM); then some bytes may have been copied.
bool copy_from(const memory::GuestMemory& memory, std::span<const Buffer> row, std::uint64_t offset,
               std::span<std::byte> data);
bool copy_to(memory::GuestMemory& memory, std::span<const Buffer> row, std::uint64_t offset,
             std::span<const std::byte> data);

enum class Direction : std::uint8_t { kFromGuest, kToGuest };

/// Appends the host memory behind `length` bytes, in as few pieces as it comes in. Who writes there
/// calls note_written() afterwards.
bool map_buffers(const memory::GuestMemory& memory, std::span<const Buffer> row,
                 std::uint64_t offset, std::uint64_t length, Direction direction,
                 std::vector<iovec>& result);
/// Tells those who translated code from these bytes that they have changed.
void note_written(memory::GuestMemory& memory, std::span<const Buffer> row, std::uint64_t offset,
                  std::uint64_t length);

}  // namespace vireo::devices::virtio
