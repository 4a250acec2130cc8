#pragma once
#include <atomic>
#include <cstdint>
#include <system_error>

#include "backends/block/block_backend.h"

namespace vireo::backends {

/// Counts the requests of a backend. Thread safe; each number is right by itself.
class BlockAccount {
 public:
  void begin(const BlockRequest& request) {
    add(requests_, 1);
    if (request.operation == BlockOperation::kFlush) add(flushes_, 1);
  }
  /// Of a request that transfers `bytes`, or of any other with 0.
  void end(BlockOperation operation, std::uint64_t bytes, std::error_code error) {
    if (error) return add(errors_, 1);
    if (operation == BlockOperation::kRead) add(read_bytes_, bytes);
    if (operation == BlockOperation::kWrite) add(written_bytes_, bytes);
  }
  BlockCounters counters() const {
    return {.requests = requests_.load(std::memory_order_relaxed),
            .read_bytes = read_bytes_.load(std::memory_order_relaxed),
            .written_bytes = written_bytes_.load(std::memory_order_relaxed),
            .flushes = flushes_.load(std::memory_order_relaxed),
            .errors = errors_.load(std::memory_order_relaxed)};
  }

 private:
  using Count = std::atomic<std::uint64_t>;
  static void add(Count& count, std::uint64_t more) {
    count.fetch_add(more, std::memory_order_relaxed);
  }
  Count requests_ = 0, read_bytes_ = 0, written_bytes_ = 0, flushes_ = 0, errors_ = 0;
};

}  // namespace vireo::backends
