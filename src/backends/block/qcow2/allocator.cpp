#include "backends/block/qcow2/allocator.h"

#include <algorithm>

namespace vireo::backends::qcow2 {
namespace {

/// Clusters behind all that was written that may be in use: leaked ones at most.
constexpr std::uint64_t kMostUsedBehindEnd = 4096;

}  // namespace

Outcome<bool> Allocator::is_free(std::uint64_t cluster) {
  if (cluster == 0 || TRY(refcounts_.get(cluster)) != 0) return false;
  return !reserved_.contains(cluster);
}

Outcome<> Allocator::fill_with_zeroes(std::uint64_t cluster) {
  const std::vector<std::uint8_t> zeroes(header_.cluster_size());
  return outcome(file_.write(cluster * header_.cluster_size(), std::span(zeroes)));
}

Outcome<> Allocator::make_block(std::uint64_t cluster) {
  TRY(fill_with_zeroes(cluster));
  note_written_to((cluster + 1) * header_.cluster_size());
  return refcounts_.create_block(cluster);
}

Outcome<ClusterRun> Allocator::reserve(std::uint64_t most) {
  const std::uint64_t end = kMaxHostOffset >> header_.cluster_bits;
  ClusterRun run{first_free_, 0};
  for (std::uint64_t cluster = first_free_; run.count < most; ++cluster) {
    if (cluster >= end || cluster >= refcounts_.covered()) {
      if (run.count != 0) break;
      if (cluster >= end) return failure(std::errc::file_too_large);
      first_free_ = cluster;
      return tl::unexpected(needs_table());
    }
    if (!TRY(is_free(cluster))) {
      if (run.count != 0) break;
      // To look on could take for ever: a small image can say that a huge file is full.
      if (cluster > header_.clusters_for(written_) + kMostUsedBehindEnd) {
        first_free_ = cluster;
        return damaged();
      }
      continue;
    }
    if (!refcounts_.has_block(cluster)) {
      if (run.count != 0) break;
      TRY(make_block(cluster));
      continue;
    }
    if (run.count == 0) run.first = cluster;
    ++run.count;
  }
  for (std::uint64_t i = 0; i < run.count; ++i) reserved_.insert(run.first + i);
  first_free_ = run.first + run.count;
  const std::uint64_t offset = run.first * header_.cluster_size();
  run.reads_as_zero = offset >= written_ && !file_.is_device();
  note_written_to(offset + run.count * header_.cluster_size());
  return run;
}

Outcome<> Allocator::use(std::uint64_t cluster) {
  TRY(refcounts_.set(cluster, 1));
  reserved_.erase(cluster);
  return Unit{};
}

void Allocator::abandon(const ClusterRun& run) {
  for (std::uint64_t i = 0; i < run.count; ++i) reserved_.erase(run.first + i);
  note_free_from(run.first);
}

Outcome<std::uint64_t> Allocator::take_for_table() {
  const ClusterRun run = TRY(reserve(1));
  const auto filled = fill_with_zeroes(run.first);
  if (!filled) {
    abandon(run);
    return tl::unexpected(filled.error());
  }
  return run.first;
}

Outcome<bool> Allocator::release(std::uint64_t cluster) {
  const std::uint64_t count = TRY(refcounts_.get(cluster));
  if (count == 0) return false;  // the image was wrong about it before
  TRY(refcounts_.set(cluster, count - 1));
  if (count != 1) return false;
  note_free_from(cluster);
  return true;
}

void Allocator::note_free_from(std::uint64_t cluster) {
  first_free_ = std::min(first_free_, cluster);
}

void Allocator::note_written_to(std::uint64_t offset) { written_ = std::max(written_, offset); }

}  // namespace vireo::backends::qcow2
