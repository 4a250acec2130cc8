#pragma once
#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>

#include "backends/block/iovecs.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vireo::backends {

/// The host file or block device that holds an image. Calls wait for the host and may come from any
/// thread. What changes the file is virtual for tests that look at the order of it.
class ImageFile {
 public:
  virtual ~ImageFile() = default;
  ImageFile(const ImageFile&) = delete;
  /// Opens and locks it (image_lock.h).
  static Result<std::shared_ptr<ImageFile>> open(const std::string& path, bool read_only);
  /// A file without a name in `folder`, or where TMPDIR says if the folder cannot be written to.
  static Result<std::shared_ptr<ImageFile>> open_temporary(const std::string& folder);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  bool read_only() const { return read_only_; }
  bool is_device() const { return is_device_; }
  /// False for a temporary file: nobody reads it after us.
  bool needs_sync() const { return !is_temporary_; }
  /// Bytes, now; the host's error if it does not say.
  Result<std::uint64_t, std::error_code> size() const;

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
  UniqueFd fd_;
  std::string path_;
  bool read_only_;
  bool is_device_ = false;
  bool is_temporary_ = false;
  std::atomic<bool> sync_failed_ = false;
};

}  // namespace vireo::backends
