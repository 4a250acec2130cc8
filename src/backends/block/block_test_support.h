#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "backends/block/open_block.h"
#include "support/read_file.h"

namespace vireo::backends {

using Bytes = std::vector<std::uint8_t>;

/// A folder that is gone at the end; in memory if the host has such a place, since tests sync a
/// lot.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const bool in_memory = ::access("/dev/shm", W_OK) == 0;
    std::string name =
        (in_memory ? std::string("/dev/shm") : ::testing::TempDir()) + "/vireo-block-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline Bytes read_whole_file(const std::string& path) { return test::read_file<Bytes>(path); }
inline void write_whole_file(const std::string& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

inline std::unique_ptr<BlockBackend> open_or_fail(const BlockOptions& options) {
  auto backend = open_block_backend(options);
  EXPECT_TRUE(backend) << backend.error().message;
  return backend ? std::move(*backend) : nullptr;
}
/// The sentence of the refusal; empty if there was none.
inline std::string refusal(const BlockOptions& options) {
  auto backend = open_block_backend(options);
  return backend ? "" : backend.error().message;
}

/// Submits and waits.
inline std::error_code carry_out(BlockBackend& backend, BlockRequest request) {
  std::promise<std::error_code> result;
  request.done = [&](std::error_code error) { result.set_value(error); };
  backend.submit(std::move(request));
  return result.get_future().get();
}
inline std::error_code write(BlockBackend& backend, std::uint64_t offset, const Bytes& bytes) {
  const iovec buffer{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  return carry_out(backend, {.operation = BlockOperation::kWrite,
                             .offset = offset,
                             .length = bytes.size(),
                             .buffers = {&buffer, 1}});
}
inline std::error_code read(BlockBackend& backend, std::uint64_t offset, Bytes& bytes) {
  const iovec buffer{bytes.data(), bytes.size()};
  return carry_out(backend, {.operation = BlockOperation::kRead,
                             .offset = offset,
                             .length = bytes.size(),
                             .buffers = {&buffer, 1}});
}
inline Bytes read_or_fail(BlockBackend& backend, std::uint64_t offset, std::uint64_t length) {
  Bytes bytes(length, 0xcc);
  EXPECT_EQ(read(backend, offset, bytes), std::error_code());
  return bytes;
}
inline std::error_code flush(BlockBackend& backend) {
  return carry_out(backend, {.operation = BlockOperation::kFlush});
}
inline std::error_code discard(BlockBackend& backend, std::uint64_t offset, std::uint64_t length) {
  return carry_out(backend,
                   {.operation = BlockOperation::kDiscard, .offset = offset, .length = length});
}
inline std::error_code write_zeroes(BlockBackend& backend, std::uint64_t offset,
                                    std::uint64_t length, bool may_unmap) {
  return carry_out(backend, {.operation = BlockOperation::kWriteZeroes,
                             .offset = offset,
                             .length = length,
                             .may_unmap = may_unmap});
}

}  // namespace vireo::backends
