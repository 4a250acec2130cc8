#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <system_error>

#include "backends/block/image_file.h"
#include "backends/block/iovecs.h"
#include "backends/block/worker_pool.h"
#include "base/result.h"

namespace vireo::backends {

/// One transfer between buffers and an image's file, or a sync of it.
struct FileTransfer {
  enum class Kind : std::uint8_t { kRead, kWrite, kSync };
  Kind kind = Kind::kRead;
  ImageFile* file = nullptr;  ///< outlives the FileIo
  std::uint64_t offset = 0;
  Iovecs buffers;
  std::function<void(std::error_code)> done;  ///< all of it was done, or the error
};

/// Carries out transfers beside the caller.
class FileIo {
 public:
  /// After every transfer.
  virtual ~FileIo() = default;
  /// From any thread, never waits for the disk. `done` is called without a lock, on a thread of
  /// this or inside submit().
  virtual void submit(FileTransfer transfer) = 0;
};

/// Transfers as calls of the pool's threads; the pool outlives it.
std::unique_ptr<FileIo> make_pool_io(WorkerPool& pool);
/// Transfers by the kernel's io_uring; an error where the kernel or a sandbox refuses it. What the
/// page cache has or takes without waiting is done inside submit(). What the ring would give to a
/// thread of the kernel in any case, as writes are with most file systems, one thread of the pool
/// does, one after the other; large ones
/// are on their way to the disk at once, so that a sync finds little left. Large reads are the
/// pool's, too. Past the page cache all is the ring's, but what has to go by way of a buffer, or
/// may be faster that way. The pool outlives it.
[[nodiscard]] Result<std::unique_ptr<FileIo>> open_uring_io(WorkerPool& pool);
/// The best this host has.
std::unique_ptr<FileIo> open_file_io(WorkerPool& pool);

}  // namespace vireo::backends
