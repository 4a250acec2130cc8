#include <algorithm>

#include "backends/block/qcow2/image.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::uint64_t kClustersAtOnce = 1024;  ///< in one hold of the lock
constexpr std::uint64_t kZeroBytes = 1u << 20;

}  // namespace

Outcome<> Image::discard(std::uint64_t offset, std::uint64_t length) {
  return clear(offset, length, Clearing::kDiscard);
}

Outcome<> Image::write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap) {
  return clear(offset, length, may_unmap ? Clearing::kZero : Clearing::kZeroInPlace);
}

Outcome<> Image::write_zero_bytes(std::uint64_t offset, std::uint64_t length) {
  std::vector<std::uint8_t> zeroes(std::min(length, kZeroBytes));
  while (length != 0) {
    const iovec part{zeroes.data(), std::min<std::uint64_t>(length, zeroes.size())};
    TRY(write(offset, std::span(&part, 1)));
    offset += part.iov_len;
    length -= part.iov_len;
  }
  return Unit{};
}

Outcome<> Image::clear(std::uint64_t offset, std::uint64_t length, Clearing how) {
  if (length == 0) return Unit{};
  const std::uint64_t end = offset + length;
  const std::uint64_t cluster = header_.cluster_size();
  // The last cluster of the disk is whole if the range has all of it that is on the disk.
  const std::uint64_t whole_begin = offset + (within(offset) == 0 ? 0 : cluster - within(offset));
  const std::uint64_t whole_end = end == size() ? end : end - within(end);
  if (whole_begin >= whole_end)
    return how == Clearing::kDiscard ? Outcome<>(Unit{}) : zero_part(offset, length);
  if (how != Clearing::kDiscard) {
    TRY(zero_part(offset, whole_begin - offset));
    TRY(zero_part(whole_end, end - whole_end));
  }
  const std::uint64_t last = cluster_of(whole_end - 1);
  for (std::uint64_t guest = cluster_of(whole_begin); guest <= last;) {
    TRY(commit_if_crowded());
    const bool said = TRY(with_tables([&] { return clear_clusters(guest, last + 1, how); }));
    if (said) continue;
    const std::uint64_t at = guest << header_.cluster_bits;
    TRY(write_zero_bytes(at, std::min(cluster, size() - at)));
    ++guest;
  }
  return Unit{};
}

Outcome<> Image::zero_part(std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return Unit{};
  Extents extents;
  TRY(map(offset, length, true, extents));
  const bool zero = extents.size() == 1 && extents[0].kind == Extent::Kind::kZero;
  return zero ? Outcome<>(Unit{}) : write_zero_bytes(offset, length);
}

Outcome<bool> Image::clear_clusters(std::uint64_t& guest, std::uint64_t end, Clearing how) {
  const std::uint64_t stop = std::min(end, guest + kClustersAtOnce);
  while (guest < stop) {
    const std::uint64_t unmapped = std::min(end, metadata_.unmapped_until(guest));
    const bool all_zero = !below_has(guest) || how == Clearing::kDiscard;
    if (unmapped > guest && all_zero) {
      guest = unmapped;
      continue;
    }
    if (!TRY(clear_cluster(guest, how))) return false;
    ++guest;
  }
  return true;
}

Outcome<bool> Image::clear_cluster(std::uint64_t guest, Clearing how) {
  const L2Entry entry = TRY(metadata_.lookup(guest));
  const bool backed = below_has(guest);
  std::uint64_t raw = backed ? kReadsAsZero : 0;
  bool can_say = !backed || header_.version >= 3;
  if (entry.kind == ClusterKind::kUnallocated && (how == Clearing::kDiscard || !backed))
    return true;
  if (entry.kind == ClusterKind::kZero && (how == Clearing::kZeroInPlace || !entry.has_place()))
    return true;
  if (how == Clearing::kZeroInPlace && entry.has_place() && entry.copied) {
    raw = entry.offset | kCopied | kReadsAsZero;
    can_say = header_.version >= 3;
  }
  if (!can_say) return how == Clearing::kDiscard;
  TRY(metadata_.make_writable(guest));
  TRY(metadata_.set_entry(guest, raw, how != Clearing::kZeroInPlace));
  return true;
}

}  // namespace vireo::backends::qcow2
