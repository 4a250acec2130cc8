#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <system_error>

namespace vireo::backends {

enum class BlockOperation : std::uint8_t { kRead, kWrite, kFlush, kDiscard, kWriteZeroes };

/// One request to a disk. Bytes, not sectors.
struct BlockRequest {
  /// The error is empty when all of it was done; a request is never done in part without one.
  /// ENOSPC, EIO and so on as the host said; EINVAL for a range outside the disk.
  using Done = std::function<void(std::error_code)>;

  BlockOperation operation = BlockOperation::kRead;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  ///< for reads and writes what `buffers` hold together
  /// Where to read to or to write from: copied by submit(), what it points at stays until `done`.
  std::span<const iovec> buffers;
  bool may_unmap = false;  ///< kWriteZeroes: the range may lose its place on the host
  Done done;
};

/// What a disk was asked for since it was opened.
struct BlockCounters {
  std::uint64_t requests = 0;  ///< of all kinds
  std::uint64_t read_bytes = 0, written_bytes = 0;
  std::uint64_t flushes = 0;
  std::uint64_t errors = 0;  ///< requests that failed
  bool operator==(const BlockCounters&) const = default;
};

/// What a disk is plugged into on the host: an image in a file.
///
/// A write whose `done` came without an error is seen by every read submitted after it; it is on
/// the host's disk when a flush submitted after that is done without an error. Requests that
/// overlap in time are in no order; those to the same bytes are each whole or, after an error, of
/// unknown content.
class BlockBackend {
 public:
  virtual ~BlockBackend() = default;

  /// Bytes, a multiple of 512.
  virtual std::uint64_t size() const = 0;
  virtual bool read_only() const = 0;
  /// Bytes: requests that start and end at multiples of it are not read back first. A power of two,
  /// at least 512.
  virtual std::uint32_t preferred_block() const { return 4096; }
  /// The format and path, for messages.
  virtual std::string name() const = 0;
  /// From any thread; nothing from a backend that does not count.
  virtual BlockCounters counters() const { return {}; }

  /// From any thread, never waits for the disk. `done` is called exactly once, without a lock of
  /// the backend, on a thread of the backend or inside submit().
  virtual void submit(BlockRequest request) = 0;
  /// Waits until each request submitted before is done. Not from inside `done`.
  virtual void drain() = 0;
};

}  // namespace vireo::backends
