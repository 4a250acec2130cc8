#include <utility>

#include "backends/block/file_io.h"
#include "backends/block/in_flight.h"

namespace vireo::backends {
namespace {

std::error_code carry_out(FileTransfer& transfer) {
  switch (transfer.kind) {
    case FileTransfer::Kind::kRead:
      return transfer.file->read(transfer.offset, std::move(transfer.buffers));
    case FileTransfer::Kind::kWrite:
      return transfer.file->write(transfer.offset, std::move(transfer.buffers));
    case FileTransfer::Kind::kSync:
      return transfer.file->sync();
  }
  return {};
}

class PoolIo final : public FileIo {
 public:
  explicit PoolIo(WorkerPool& pool) : pool_(pool) {}
  ~PoolIo() override { in_flight_.drain(); }

  void submit(FileTransfer transfer) override {
    pool_.post([this, era = in_flight_.begin(), transfer = std::move(transfer)]() mutable {
      const std::error_code error = carry_out(transfer);
      transfer.done(error);
      in_flight_.end(era);
    });
  }

 private:
  WorkerPool& pool_;
  InFlight in_flight_;
};

}  // namespace

std::unique_ptr<FileIo> make_pool_io(WorkerPool& pool) { return std::make_unique<PoolIo>(pool); }

}  // namespace vireo::backends
