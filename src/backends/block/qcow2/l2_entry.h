#pragma once
#include <cstdint>

#include "backends/block/outcome.h"
#include "backends/block/qcow2/header.h"

namespace vireo::backends::qcow2 {

constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;  ///< the refcount is exactly one
constexpr std::uint64_t kCompressedFlag = std::uint64_t{1} << 62;
constexpr std::uint64_t kReadsAsZero = 1;
constexpr std::uint64_t kOffsetMask = 0x00fffffffffffe00;  ///< in entries of L1 and L2 tables

enum class ClusterKind : std::uint8_t {
  kUnallocated,  ///< the backing file has it, or it is zero
  kZero,         ///< zero, perhaps with a place for data
  kData,
  kCompressed,
};

/// An entry of an L2 table, judged.
struct L2Entry {
  ClusterKind kind = ClusterKind::kUnallocated;
  bool copied = false;       ///< may be written in place
  std::uint64_t offset = 0;  ///< in the file; 0 for a zero cluster without a place
  std::uint64_t length = 0;  ///< compressed: at most so many bytes

  bool has_place() const {
    return kind == ClusterKind::kData || (kind == ClusterKind::kZero && offset != 0);
  }
};

/// EIO for what cannot be.
[[nodiscard]] inline Outcome<L2Entry> parse_l2_entry(std::uint64_t raw, const Header& header) {
  if ((raw & kCompressedFlag) != 0) {
    const unsigned offset_bits = 62 - (header.cluster_bits - 8);
    const std::uint64_t offset = raw & ((std::uint64_t{1} << offset_bits) - 1);
    const std::uint64_t sectors = (raw & (kCompressedFlag - 1)) >> offset_bits;
    if (offset >= kMaxHostOffset) return damaged();
    return L2Entry{ClusterKind::kCompressed, false, offset, (sectors + 1) * 512 - offset % 512};
  }
  L2Entry entry;
  entry.offset = raw & kOffsetMask;
  entry.copied = (raw & kCopied) != 0 && entry.offset != 0;
  if (!header.aligned(entry.offset)) return damaged();
  if ((raw & kReadsAsZero) != 0) {
    if (header.version == 2) return damaged();
    entry.kind = ClusterKind::kZero;
  } else if (entry.offset != 0) {
    entry.kind = ClusterKind::kData;
  }
  return entry;
}

}  // namespace vireo::backends::qcow2
