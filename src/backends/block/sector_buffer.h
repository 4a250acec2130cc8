#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace vireo::backends {

/// Memory to and from which the host can move whole sectors past its page cache, in one piece for
/// its disk if the host has large pages. What was used is kept for whoever wants it next. From any
/// thread; outlives its buffers.
class SectorBuffers {
 public:
  static constexpr std::uint64_t kBytes = 2 << 20;  ///< of one: a large page

  SectorBuffers() = default;
  SectorBuffers(const SectorBuffers&) = delete;

  class Buffer;
  /// Throws std::bad_alloc.
  Buffer take();

 private:
  static constexpr std::size_t kMostKept = 4;
  struct Unmap {
    void operator()(std::uint8_t* bytes) const;
  };
  using Memory = std::unique_ptr<std::uint8_t[], Unmap>;
  static Memory map();

  std::mutex mutex_;
  std::vector<Memory> kept_;
};

class SectorBuffers::Buffer {
 public:
  ~Buffer();
  Buffer(const Buffer&) = delete;
  std::span<std::uint8_t, kBytes> bytes() const {
    return std::span<std::uint8_t, kBytes>(memory_.get(), kBytes);
  }

 private:
  friend class SectorBuffers;
  Buffer(SectorBuffers& owner, Memory memory) : owner_(owner), memory_(std::move(memory)) {}
  SectorBuffers& owner_;
  Memory memory_;
};

}  // namespace vireo::backends
