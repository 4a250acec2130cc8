#include "backends/block/raw_backend.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "backends/block/block_account.h"
#include "backends/block/failure_report.h"
#include "backends/block/file_io.h"
#include "backends/block/image_format.h"
#include "backends/block/in_flight.h"
#include "backends/block/request_check.h"
#include "backends/block/worker_pool.h"

namespace vireo::backends {
namespace {

constexpr unsigned kThreads = 8;

class RawBackend final : public BlockBackend {
 public:
  RawBackend(std::shared_ptr<ImageFile> file, std::uint64_t size, bool guard_head)
      : file_(std::move(file)),
        size_(size),
        guard_head_(guard_head),
        failures_(RawBackend::name()),
        pool_(kThreads) {
    io_ = open_file_io(pool_);
  }
  ~RawBackend() override { drain(); }

  std::uint64_t size() const override { return size_; }
  bool read_only() const override { return file_->read_only(); }
  std::string name() const override { return "raw image " + file_->path(); }
  BlockCounters counters() const override { return account_.counters(); }
  void drain() override { in_flight_.drain(); }

  void submit(BlockRequest request) override {
    account_.begin(request);
    if (const auto error = check_request(request, size_, read_only())) {
      account_.end(request.operation, request.length, error);
      return request.done(error);
    }
    auto finish = [this, era = in_flight_.begin(), operation = request.operation,
                   length = request.length, done = std::move(request.done)](std::error_code error) {
      account_.end(operation, length, error);
      failures_.note(operation, error);
      done(error);
      in_flight_.end(era);
    };
    switch (request.operation) {
      case BlockOperation::kRead:
        return transfer(FileTransfer::Kind::kRead, request, std::move(finish));
      case BlockOperation::kWrite:
        if (guard_head_ && request.offset < kFormatHeadSize && request.length != 0)
          return write_guarded(request, std::move(finish));
        return transfer(FileTransfer::Kind::kWrite, request, std::move(finish));
      case BlockOperation::kFlush:
        if (read_only()) return finish({});
        return io_->submit({FileTransfer::Kind::kSync, file_.get(), 0, {}, std::move(finish)});
      case BlockOperation::kDiscard:
        return pool_.post([this, request = std::move(request), finish = std::move(finish)] {
          finish(file_->discard(request.offset, request.length));
        });
      case BlockOperation::kWriteZeroes:
        return pool_.post([this, request = std::move(request), finish = std::move(finish)] {
          finish(file_->write_zeroes(request.offset, request.length, request.may_unmap));
        });
    }
  }

 private:
  void transfer(FileTransfer::Kind kind, const BlockRequest& request, BlockRequest::Done finish) {
    io_->submit({kind, file_.get(), request.offset,
                 Iovecs(request.buffers.begin(), request.buffers.end()), std::move(finish)});
  }

  /// Judges and writes the same bytes: the guest could change its own in between.
  void write_guarded(const BlockRequest& request, BlockRequest::Done finish) {
    auto head = std::make_shared<std::array<std::uint8_t, kFormatHeadSize>>();
    const std::uint64_t own = std::min<std::uint64_t>(request.length, head->size());
    const auto bytes = std::span(*head).first(own);
    copy_from(bytes, slice(request.buffers, 0, own));
    const bool whole = request.offset == 0 && own == head->size();
    if (!whole || tell_format(bytes) != ImageFormat::kRaw)
      return finish(std::make_error_code(std::errc::operation_not_permitted));
    Iovecs buffers = slice(request.buffers, own, request.length - own);
    buffers.insert(buffers.begin(), iovec{bytes.data(), bytes.size()});
    io_->submit({FileTransfer::Kind::kWrite, file_.get(), request.offset, std::move(buffers),
                 [head, finish = std::move(finish)](std::error_code error) { finish(error); }});
  }

  std::shared_ptr<ImageFile> file_;
  const std::uint64_t size_;
  const bool guard_head_;
  BlockAccount account_;
  FailureReport failures_;
  InFlight in_flight_;
  WorkerPool pool_;
  std::unique_ptr<FileIo> io_;
};

}  // namespace

Result<std::unique_ptr<BlockBackend>> open_raw_backend(std::shared_ptr<ImageFile> file,
                                                       bool guard_head) {
  const auto size = file->size();
  if (!size)
    return host_error("cannot tell the size of {}: {}", file->path(), size.error().message());
  if (*size % kSectorSize != 0)
    return usage_error("the raw image {} has {} bytes, which is no multiple of {}: make it longer",
                       file->path(), *size, kSectorSize);
  return std::make_unique<RawBackend>(std::move(file), *size, guard_head);
}

}  // namespace vireo::backends
