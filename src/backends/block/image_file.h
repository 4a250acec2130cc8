#pragma once
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <system_error>

#include "backends/block/faster_way.h"
#include "backends/block/iovecs.h"
#include "backends/block/sector_buffer.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// The host file or block device that holds an image. Calls wait for the host and may come from any
/// thread. What changes the file is virtual for tests that look at the order of it.
///
/// Past the page cache the host moves whole sectors from and to memory that begins at a multiple of
/// them. read() and write() take anything there too, by way of a buffer; who calls the host for
/// `fd()` himself asks can_move(). Much goes by way of a buffer as well where that is faster: a
/// disk moves what lies in one piece in the host's memory, as a guest's seldom does, in less time.
class ImageFile {
 public:
  virtual ~ImageFile() = default;
  ImageFile(const ImageFile&) = delete;
  /// Opens and locks it (image_lock.h). A host error if its page cache is to be bypassed and cannot
  /// be.
  static Result<std::shared_ptr<ImageFile>> open(const std::string& path, bool read_only,
                                                 bool bypass_cache = false);
  /// A file without a name in `folder`, or where TMPDIR says if the folder cannot be written to.
  static Result<std::shared_ptr<ImageFile>> open_temporary(const std::string& folder);
  /// A regular file that was opened for reading and writing and that nobody else knows of yet.
  static std::shared_ptr<ImageFile> adopt(UniqueFd fd, std::string path) {
    return std::shared_ptr<ImageFile>(new ImageFile(std::move(fd), std::move(path), false));
  }

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  bool read_only() const { return read_only_; }
  bool is_device() const { return is_device_; }
  bool bypasses_cache() const { return bypasses_cache_; }
  /// Whether the host moves these bytes as they stand.
  bool can_move(std::uint64_t offset, std::span<const iovec> buffers) const;
  /// Whether read() and write() of so much look for the faster way.
  bool may_gather(std::uint64_t bytes) const { return bypasses_cache_ && bytes >= kGatheredBytes; }
  /// False for a temporary file: nobody reads it after us.
  bool needs_sync() const { return !is_temporary_; }
  /// Bytes, now; the host's error if it does not say.
  Result<std::uint64_t, std::error_code> size() const;

  /// What the host can do of a transfer without waiting for anything, from the front on: bytes, 0
  /// if it can do nothing now, or if this is not known before trying.
  virtual std::uint64_t read_at_once(std::uint64_t offset, std::span<const iovec> buffers) const;
  virtual std::uint64_t write_at_once(std::uint64_t offset, std::span<const iovec> buffers);

  /// The host begins to read a range into its page cache.
  virtual void begin_read(std::uint64_t offset, std::uint64_t length);
  /// The host begins to bring a range to its disk, if it holds it back in its page cache.
  virtual void begin_write_back(std::uint64_t offset, std::uint64_t length);

  /// All of it or an error. What lies behind the end of the file reads as zeroes.
  std::error_code read(std::uint64_t offset, std::span<std::uint8_t> bytes) const;
  std::error_code read(std::uint64_t offset, Iovecs buffers) const;
  std::error_code write(std::uint64_t offset, std::span<const std::uint8_t> bytes);
  virtual std::error_code write(std::uint64_t offset, Iovecs buffers);
  /// What was written before is on the disk. Once it has failed it fails for ever, since the host
  /// forgets what it could not write.
  virtual std::error_code sync();
  /// The result of a sync that somebody else made on `fd()`, with that rule applied.
  std::error_code judge_sync(std::error_code result);
  /// Reads as zeroes afterwards, and needs no place on the host if `may_unmap`.
  std::error_code write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap);
  /// Gives the place back if the host can; the content is then zeroes or what it was.
  virtual std::error_code discard(std::uint64_t offset, std::uint64_t length);

 protected:
  ImageFile(UniqueFd fd, std::string path, bool read_only)
      : fd_(std::move(fd)), path_(std::move(path)), read_only_(read_only) {}

 private:
  static constexpr std::uint64_t kGatheredBytes = 64 << 10;
  using Ways = std::array<FasterWay, 5>;  ///< from that size on, each for twice the size before

  Result<> bypass_cache();
  template <class Transfer>
  static std::error_code by_the_faster_way(Ways& ways, std::uint64_t bytes, Transfer transfer);
  std::error_code read_by_buffer(std::uint64_t offset, std::span<const iovec> buffers) const;
  std::error_code write_by_buffer(std::uint64_t offset, std::span<const iovec> buffers);
  std::error_code move_in(std::uint64_t offset, std::span<iovec> rest) const;
  std::error_code move_out(std::uint64_t offset, std::span<iovec> rest);

  UniqueFd fd_;
  std::string path_;
  bool read_only_;
  bool is_device_ = false;
  bool is_temporary_ = false;
  bool bypasses_cache_ = false;
  mutable std::atomic<bool> never_reads_at_once_ = false, never_writes_at_once_ = false;
  std::atomic<bool> sync_failed_ = false;
  mutable SectorBuffers sector_buffers_;
  mutable Ways faster_reads_;  ///< the other way is that by a buffer
  Ways faster_writes_;
  std::mutex parts_mutex_;  ///< held while a part of a sector is written; a leaf
};

}  // namespace vireo::backends
