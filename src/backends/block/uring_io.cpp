#include <liburing.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "backends/block/file_io.h"
#include "backends/block/in_flight.h"
#include "base/assert.h"

namespace vireo::backends {
namespace {

constexpr std::uint64_t kStreamBytes = 256 << 10;  ///< a transfer that is large
constexpr unsigned kEntries = 256;  ///< transfers the kernel has at a time; more wait here

struct Job {
  explicit Job(FileTransfer what) : transfer(std::move(what)), rest(transfer.buffers) {
    drop_front(rest, 0);
  }
  FileTransfer transfer;
  const std::uint64_t first = transfer.offset;  ///< in the file
  std::span<iovec> rest;                        ///< of transfer.buffers: what is still to do
  InFlight::Era era = 0;
  /// What the language knows of the way through the kernel: written before, read after.
  std::atomic<bool> handed_over = false;
};

class UringIo final : public FileIo {
 public:
  explicit UringIo(WorkerPool& pool) : pool_(pool) {}
  ~UringIo() override {
    if (!thread_.joinable()) return;
    in_flight_.drain();
    {
      const std::lock_guard lock(mutex_);
      io_uring_sqe* entry = io_uring_get_sqe(&ring_);
      io_uring_prep_nop(entry);
      io_uring_sqe_set_data(entry, nullptr);
      hand_over();
    }
    thread_.join();
    io_uring_queue_exit(&ring_);
  }

  Result<> open() {
    const int made = io_uring_queue_init(kEntries, &ring_, 0);
    if (made < 0) return refused(-made);
    io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
    bool able = probe != nullptr;
    for (const int operation : {IORING_OP_NOP, IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC})
      able = able && io_uring_opcode_supported(probe, operation);
    io_uring_free_probe(probe);
    if (!able) {
      io_uring_queue_exit(&ring_);
      return refused(EOPNOTSUPP);
    }
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { collect(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return Unit{};
  }

  void submit(FileTransfer transfer) override {
    const bool sync = transfer.kind == FileTransfer::Kind::kSync;
    if (sync && !transfer.file->needs_sync()) return transfer.done({});
    Job* job = new Job(std::move(transfer));
    job->era = in_flight_.begin();
    if (!sync) {
      do_at_once(*job);
      if (job->rest.empty()) return finish(job, {});
    }
    if (!sync && job->transfer.file->bypasses_cache()) {
      const ImageFile& file = *job->transfer.file;
      const bool plain = file.can_move(job->transfer.offset, job->rest) &&
                         !file.may_gather(total_length(job->rest));
      if (!plain) return move_later(job);
    } else if (job->transfer.kind == FileTransfer::Kind::kWrite) {
      return write_later(job);
    } else if (!sync && total_length(job->rest) >= kStreamBytes) {
      return read_later(job);
    }
    const std::lock_guard lock(mutex_);
    if (in_kernel_ == kEntries) {
      waiting_.push_back(job);
      return;
    }
    ++in_kernel_;
    push(job);
  }

 private:
  static tl::unexpected<Error> refused(int error) {
    return host_error("this host refuses io_uring: {}", std::generic_category().message(error));
  }

  static void do_at_once(Job& job) {
    FileTransfer& transfer = job.transfer;
    const bool write = transfer.kind == FileTransfer::Kind::kWrite;
    if (job.rest.empty() || (write && total_length(job.rest) >= kStreamBytes)) return;
    const std::uint64_t bytes = write ? transfer.file->write_at_once(transfer.offset, job.rest)
                                      : transfer.file->read_at_once(transfer.offset, job.rest);
    drop_front(job.rest, bytes);
    transfer.offset += bytes;
  }

  /// Much that is not in the page cache: the disk is asked for all of it at once, and for as much
  /// behind it if the guest seems to read on. The ring would look at each page when it comes.
  void read_later(Job* job) {
    const std::uint64_t bytes = total_length(job->rest), offset = job->transfer.offset;
    const bool reads_on = stream_end_.exchange(offset + bytes) == job->first;
    pool_.post([this, job, offset, bytes, reads_on] {
      ImageFile& file = *job->transfer.file;
      file.begin_read(offset, reads_on ? 2 * bytes : bytes);
      finish(job, file.read(offset, Iovecs(job->rest.begin(), job->rest.end())));
    });
  }

  /// Past the page cache, what the host cannot move as it stands, or may move faster elsewhere.
  void move_later(Job* job) {
    pool_.post([this, job] {
      const FileTransfer& transfer = job->transfer;
      Iovecs rest(job->rest.begin(), job->rest.end());
      finish(job, transfer.kind == FileTransfer::Kind::kRead
                      ? transfer.file->read(transfer.offset, std::move(rest))
                      : transfer.file->write(transfer.offset, std::move(rest)));
    });
  }

  void write_later(Job* job) {
    {
      const std::lock_guard lock(writes_mutex_);
      writes_.push_back(job);
      if (std::exchange(writing_, true)) return;
    }
    pool_.post([this, era = in_flight_.begin()] {
      write_all();
      in_flight_.end(era);
    });
  }

  /// Until nobody wants to write.
  void write_all() {
    std::deque<Job*> taken;
    while (true) {
      {
        const std::lock_guard lock(writes_mutex_);
        taken.swap(writes_);
        writing_ = !taken.empty();
      }
      if (taken.empty()) return;
      for (; !taken.empty(); taken.pop_front()) {
        Job* const job = taken.front();
        FileTransfer& transfer = job->transfer;
        const std::uint64_t offset = transfer.offset, bytes = total_length(job->rest);
        ImageFile* const file = transfer.file;
        finish(job, file->write(offset, Iovecs(job->rest.begin(), job->rest.end())));
        if (bytes >= kStreamBytes) file->begin_write_back(offset, bytes);
      }
    }
  }

  /// With the mutex. One entry for each of in_kernel_, so there is always a free one.
  void push(Job* job) {
    const FileTransfer& transfer = job->transfer;
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    VIREO_ASSERT(entry != nullptr);
    const auto count = static_cast<unsigned>(std::min<std::size_t>(job->rest.size(), IOV_MAX));
    const int fd = transfer.file->fd();
    switch (transfer.kind) {
      case FileTransfer::Kind::kRead:
        io_uring_prep_readv(entry, fd, job->rest.data(), count, transfer.offset);
        break;
      case FileTransfer::Kind::kWrite:
        io_uring_prep_writev(entry, fd, job->rest.data(), count, transfer.offset);
        break;
      case FileTransfer::Kind::kSync:
        io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data(entry, job);
    job->handed_over.store(true, std::memory_order_release);
    hand_over();
  }

  void hand_over() {
    while (true) {
      const int result = io_uring_submit(&ring_);
      if (result >= 0) return;
      VIREO_ASSERT(result == -EINTR || result == -EAGAIN || result == -EBUSY);
      std::this_thread::yield();  // the kernel lacks memory for the moment
    }
  }

  void collect() {
    while (true) {
      io_uring_cqe* entry = nullptr;
      const int waited = io_uring_wait_cqe(&ring_, &entry);
      if (waited == -EINTR || waited == -EAGAIN) continue;
      VIREO_ASSERT(waited == 0);
      auto* job = static_cast<Job*>(io_uring_cqe_get_data(entry));
      const int result = entry->res;
      io_uring_cqe_seen(&ring_, entry);
      if (job == nullptr) return;
      VIREO_ASSERT(job->handed_over.load(std::memory_order_acquire));
      judge(job, result);
    }
  }

  void judge(Job* job, int result) {
    FileTransfer& transfer = job->transfer;
    if (result == -EINTR || result == -EAGAIN) return again(job);
    std::error_code error;
    if (result < 0) error = {-result, std::generic_category()};
    if (transfer.kind == FileTransfer::Kind::kSync) {
      error = transfer.file->judge_sync(error);
    } else if (result > 0) {
      drop_front(job->rest, static_cast<std::uint64_t>(result));
      transfer.offset += static_cast<std::uint64_t>(result);
      if (!job->rest.empty()) return again(job);
    } else if (result == 0 && transfer.kind == FileTransfer::Kind::kRead) {
      fill_zeroes(job->rest);  // behind the end of the file
    } else if (result == 0) {
      error = std::make_error_code(std::errc::no_space_on_device);
    }
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) {
        --in_kernel_;
      } else {
        Job* next = waiting_.front();
        waiting_.pop_front();
        push(next);
      }
    }
    finish(job, error);
  }

  void again(Job* job) {
    const std::lock_guard lock(mutex_);
    push(job);
  }

  void finish(Job* job, std::error_code error) {
    const InFlight::Era era = job->era;
    job->transfer.done(error);
    delete job;
    in_flight_.end(era);
  }

  WorkerPool& pool_;
  InFlight in_flight_;

  std::mutex writes_mutex_;  ///< guards the two below
  std::deque<Job*> writes_;
  bool writing_ = false;  ///< a thread of the pool does or will

  /// Where the latest large read ended, of whatever file: a guess.
  std::atomic<std::uint64_t> stream_end_ = 0;

  std::mutex mutex_;  ///< guards the submission side of the ring and the two below
  io_uring ring_ = {};
  std::deque<Job*> waiting_;
  unsigned in_kernel_ = 0;
  std::thread thread_;  ///< the only one at the completion side
};

}  // namespace

Result<std::unique_ptr<FileIo>> open_uring_io(WorkerPool& pool) {
  auto io = std::make_unique<UringIo>(pool);
  TRY(io->open());
  return io;
}

std::unique_ptr<FileIo> open_file_io(WorkerPool& pool) {
  auto io = open_uring_io(pool);
  return io ? std::move(*io) : make_pool_io(pool);
}

}  // namespace vireo::backends
