#pragma once
#include <array>
#include <cstdint>

/// Numbers of virtio disks. Virtual I/O Device 1.2, 5.2.
namespace vireo::devices::virtio::block {

// Features. 5.2.3.
inline constexpr std::uint64_t kSegmentMax = 1 << 2;
inline constexpr std::uint64_t kReadOnly = 1 << 5;
inline constexpr std::uint64_t kBlockSize = 1 << 6;
inline constexpr std::uint64_t kFlush = 1 << 9;
inline constexpr std::uint64_t kTopology = 1 << 10;
inline constexpr std::uint64_t kMultiQueue = 1 << 12;
inline constexpr std::uint64_t kDiscard = 1 << 13;
inline constexpr std::uint64_t kWriteZeroes = 1 << 14;

// Requests and how they end. 5.2.6.
inline constexpr std::uint32_t kIn = 0, kOut = 1, kFlushRequest = 4, kGetId = 8;
inline constexpr std::uint32_t kDiscardRequest = 11, kWriteZeroesRequest = 13;
inline constexpr std::uint8_t kOk = 0, kError = 1, kUnsupported = 2;
inline constexpr std::uint32_t kUnmap = 1;  ///< a flag of a range to be zeroed

struct Header {
  std::uint32_t type = 0;
  std::uint32_t reserved = 0;
  std::uint64_t sector = 0;
};
static_assert(sizeof(Header) == 16);

// What one request may ask for.
inline constexpr std::uint32_t kRanges = 16;
inline constexpr std::uint32_t kRangeSectors = 1 << 22;  ///< 2 GiB

/// The device configuration. 5.2.4. In sectors of 512 bytes where nothing else is said.
struct ConfigSpace {
  std::uint64_t capacity = 0;
  std::uint32_t size_max = 0;
  std::uint32_t segment_max = 0;
  std::uint16_t cylinders = 0;
  std::uint8_t heads = 0, sectors = 0;
  std::uint32_t block_size = 0;              ///< bytes
  std::uint8_t physical_block_exponent = 0;  ///< of blocks
  std::uint8_t alignment_offset = 0;
  std::uint16_t least_transfer = 0;  ///< blocks
  std::uint32_t best_transfer = 0;   ///< blocks
  std::uint8_t writeback = 0;
  std::uint8_t reserved = 0;
  std::uint16_t queues = 0;
  std::uint32_t discard_sectors_max = 0, discard_ranges_max = 0, discard_alignment = 0;
  std::uint32_t write_zeroes_sectors_max = 0, write_zeroes_ranges_max = 0;
  std::uint8_t write_zeroes_may_unmap = 0;
  std::array<std::uint8_t, 3> reserved2{};
};
static_assert(sizeof(ConfigSpace) == 60 + 4);

}  // namespace vireo::devices::virtio::block
