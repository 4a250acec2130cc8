#include "backends/block/qcow2/backend.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "backends/block/block_account.h"
#include "backends/block/delayed_task.h"
#include "backends/block/failure_report.h"
#include "backends/block/file_io.h"
#include "backends/block/in_flight.h"
#include "backends/block/request_check.h"
#include "backends/block/request_ranges.h"
#include "backends/block/worker_pool.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr unsigned kThreads = 8;
constexpr std::size_t kMostParts = 64;  ///< of a request that needs no thread of its own
constexpr std::uint32_t kPlainBlock = 4096;

/// One request on its way. Others hold it while its parts are under way.
struct Job {
  BlockOperation operation;
  std::uint64_t offset, length;
  Iovecs buffers;
  bool may_unmap;
  BlockRequest::Done done;
  InFlight::Era era;
  RequestRanges::Token range;
  std::atomic<std::size_t> parts = 1;
  std::atomic<int> error = 0;  ///< of the host; 0 if none
};
using JobPointer = std::shared_ptr<Job>;

std::error_code error_of(const Outcome<>& result) {
  return result ? std::error_code() : result.error();
}

class Backend final : public BlockBackend {
 public:
  Backend(std::shared_ptr<Image> image, std::string name, std::chrono::milliseconds commit_after)
      : image_(std::move(image)),
        name_(std::move(name)),
        failures_(name_),
        ranges_([this](std::function<void()> task) { pool_.post(std::move(task)); }),
        pool_(kThreads),
        io_(open_file_io(pool_)),
        timed_commit_(commit_after, [this] {
          failures_.note(BlockOperation::kFlush, error_of(image_->commit_if_changed()));
        }) {}

  ~Backend() override {
    drain();
    const auto committed = image_->commit();
    if (!committed)
      fmt::print(stderr, "vireo: the last changes to the {} are lost: {}\n", name_,
                 committed.error().message());
  }

  std::uint64_t size() const override { return image_->size(); }
  bool read_only() const override { return image_->file().read_only(); }
  std::uint32_t preferred_block() const override {
    const auto cluster = static_cast<std::uint32_t>(image_->header().cluster_size());
    return image_->has_backing() ? cluster : std::min(cluster, kPlainBlock);
  }
  std::string name() const override { return name_; }
  BlockCounters counters() const override { return account_.counters(); }
  void drain() override { in_flight_.drain(); }

  void submit(BlockRequest request) override {
    account_.begin(request);
    if (const auto error = check_request(request, size(), read_only())) {
      account_.end(request.operation, request.length, error);
      return request.done(error);
    }
    const bool flush = request.operation == BlockOperation::kFlush;
    if (flush ? read_only() : request.length == 0) return request.done({});
    const auto job = std::make_shared<Job>();
    job->operation = request.operation;
    job->offset = request.offset;
    job->length = request.length;
    job->buffers.assign(request.buffers.begin(), request.buffers.end());
    job->may_unmap = request.may_unmap;
    job->done = std::move(request.done);
    job->era = in_flight_.begin();
    switch (job->operation) {
      case BlockOperation::kFlush:
        return add_flush(job);
      case BlockOperation::kRead:
      case BlockOperation::kWrite:
        return claim(job, false, [this, job] { start_shared(job); });
      case BlockOperation::kDiscard:
      case BlockOperation::kWriteZeroes:
        return claim(job, true, [this, job] { work_alone(job); });
    }
  }

 private:
  /// Goes on with `next` once nobody excludes the clusters of the job.
  void claim(const JobPointer& job, bool alone, std::function<void()> next) {
    const unsigned bits = image_->header().cluster_bits;
    const RequestRanges::Range range{job->offset >> bits, (job->offset + job->length - 1) >> bits,
                                     alone};
    if (ranges_.claim(range, job->range, next)) next();
  }

  void finish(const JobPointer& job, std::error_code error) {
    ranges_.release(job->range);
    conclude(job, error);
  }
  void conclude(const JobPointer& job, std::error_code error) {
    const InFlight::Era era = job->era;
    account_.end(job->operation, job->length, error);
    failures_.note(job->operation, error);
    job->done(error);
    in_flight_.end(era);
  }

  /// Transfers where no table is in the way; else on with a thread that may wait.
  void start_shared(const JobPointer& job) {
    Extents extents;
    const bool read = job->operation == BlockOperation::kRead;
    const auto mapped = read ? image_->map(job->offset, job->length, false, extents)
                             : image_->map_in_place(job->offset, job->length, extents);
    const bool plain = mapped && extents.size() <= kMostParts &&
                       std::none_of(extents.begin(), extents.end(), [](const Extent& extent) {
                         return extent.kind == Extent::Kind::kCompressed;
                       });
    if (plain) return transfer(job, extents);
    if (read)
      return pool_.post(
          [this, job] { finish(job, error_of(read_layer(*image_, job->offset, job->buffers))); });
    ranges_.release(job->range);
    claim(job, true, [this, job] { work_alone(job); });
  }

  void transfer(const JobPointer& job, const Extents& extents) {
    const bool read = job->operation == BlockOperation::kRead;
    std::uint64_t at = 0;
    for (const Extent& extent : extents) {
      Iovecs part = extents.size() == 1 ? job->buffers : slice(job->buffers, at, extent.length);
      at += extent.length;
      if (extent.kind == Extent::Kind::kZero) {
        fill_zeroes(part);
        continue;
      }
      ++job->parts;
      io_->submit({read ? FileTransfer::Kind::kRead : FileTransfer::Kind::kWrite,
                   const_cast<ImageFile*>(extent.file), extent.file_offset, std::move(part),
                   [this, job](std::error_code error) { part_done(job, error); }});
    }
    part_done(job, {});
  }
  void part_done(const JobPointer& job, std::error_code error) {
    if (error) job->error = error.value();
    if (--job->parts != 0) return;
    const int failed = job->error;
    finish(job, failed == 0 ? std::error_code() : std::error_code(failed, std::generic_category()));
  }

  void work_alone(const JobPointer& job) {
    pool_.post([this, job] {
      const std::error_code error = error_of(change(*job));
      timed_commit_.ask();
      finish(job, error);
    });
  }
  Outcome<> change(const Job& job) {
    switch (job.operation) {
      case BlockOperation::kWrite:
        return image_->write(job.offset, job.buffers);
      case BlockOperation::kDiscard:
        return image_->discard(job.offset, job.length);
      default:
        return image_->write_zeroes(job.offset, job.length, job.may_unmap);
    }
  }

  /// One commit serves all who asked before it began.
  void add_flush(const JobPointer& job) {
    const std::lock_guard lock(flush_mutex_);
    flushes_.push_back(job);
    if (std::exchange(committing_, true)) return;
    pool_.post([this] { commit_all(); });
  }
  void commit_all() {
    while (true) {
      std::vector<JobPointer> served;
      {
        const std::lock_guard lock(flush_mutex_);
        served.swap(flushes_);
        committing_ = !served.empty();
      }
      if (served.empty()) return;
      const std::error_code error = error_of(image_->commit());
      for (const JobPointer& job : served) conclude(job, error);
    }
  }

  const std::shared_ptr<Image> image_;
  const std::string name_;
  BlockAccount account_;
  FailureReport failures_;
  InFlight in_flight_;
  RequestRanges ranges_;
  std::mutex flush_mutex_;  ///< guards the two below
  std::vector<JobPointer> flushes_;
  bool committing_ = false;
  // The last, for their threads use all the others until they end.
  WorkerPool pool_;
  std::unique_ptr<FileIo> io_;
  DelayedTask timed_commit_;
};

}  // namespace

std::unique_ptr<BlockBackend> make_backend(std::shared_ptr<Image> image, std::string name,
                                           std::chrono::milliseconds commit_after) {
  return std::make_unique<Backend>(std::move(image), std::move(name), commit_after);
}

}  // namespace vireo::backends::qcow2
