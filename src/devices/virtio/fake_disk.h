#pragma once
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "backends/block/block_backend.h"
#include "base/assert.h"

namespace vireo::devices::virtio {

/// A disk in memory that does requests at once, or when the test says so. Not thread safe.
class FakeDisk final : public backends::BlockBackend {
 public:
  explicit FakeDisk(std::size_t bytes, bool read_only = false)
      : content(bytes), read_only_(read_only) {}

  std::uint64_t size() const override { return content.size(); }
  bool read_only() const override { return read_only_; }
  std::string name() const override { return "fake disk"; }
  void submit(backends::BlockRequest request) override {
    pieces.assign(request.buffers.begin(), request.buffers.end());
    log += letter(request.operation);
    waiting_.emplace_back(std::move(request), pieces);
    if (!held) run();
  }
  void drain() override { run(); }

  /// Does what waits; `backwards` the latest first.
  void run(bool backwards = false) {
    while (!waiting_.empty()) {
      auto [request, buffers] =
          backwards ? std::move(waiting_.back()) : std::move(waiting_.front());
      backwards ? waiting_.pop_back() : waiting_.pop_front();
      carry_out(request, buffers);
      request.done(std::error_code(std::exchange(error, 0), std::generic_category()));
    }
  }

  std::vector<std::byte> content;
  std::string log;            ///< a letter for each operation: r w f d z, ! behind what may unmap
  std::vector<iovec> pieces;  ///< of the latest request
  bool held = false;
  int error = 0;  ///< for the next request
  std::size_t waiting() const { return waiting_.size(); }

 private:
  static char letter(backends::BlockOperation operation) {
    return "rwfdz"[static_cast<unsigned>(operation)];
  }
  void carry_out(const backends::BlockRequest& request, const std::vector<iovec>& buffers) {
    using backends::BlockOperation;
    if (request.may_unmap) log += '!';
    if (request.operation == BlockOperation::kFlush) return;
    VIREO_ASSERT(request.offset <= content.size() &&
                 request.length <= content.size() - request.offset);
    std::byte* at = content.data() + request.offset;
    if (request.operation == BlockOperation::kDiscard ||
        request.operation == BlockOperation::kWriteZeroes) {
      std::fill_n(at, request.length, std::byte{0});
      return;
    }
    for (const iovec& piece : buffers) {
      if (request.operation == BlockOperation::kRead)
        std::memcpy(piece.iov_base, at, piece.iov_len);
      else
        std::memcpy(at, piece.iov_base, piece.iov_len);
      at += piece.iov_len;
    }
  }

  const bool read_only_;
  std::deque<std::pair<backends::BlockRequest, std::vector<iovec>>> waiting_;
};

}  // namespace vireo::devices::virtio
