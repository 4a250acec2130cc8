#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "backends/block/layer.h"
#include "backends/block/qcow2/decompressor.h"
#include "backends/block/qcow2/header.h"
#include "backends/block/qcow2/metadata.h"

namespace vireo::backends::qcow2 {

/// An open qcow2 image, with the images below it. From any thread; calls wait for the disk.
///
/// Who changes or reads a range keeps everybody else from changing where it is: write(), discard()
/// and write_zeroes() want their clusters for themselves, and what map() said is true as long as
/// nobody calls those for the same clusters (see request_ranges.h).
class Image final : public Layer {
 public:
  /// `header` is what read_header() said; `below` has what the image does not: null for zeroes.
  [[nodiscard]] static Result<std::shared_ptr<Image>> open(std::shared_ptr<ImageFile> file,
                                                           Header header,
                                                           std::shared_ptr<Layer> below);

  const Header& header() const { return header_; }
  ImageFile& file() { return *file_; }
  bool has_backing() const { return below_ != nullptr; }

  std::uint64_t size() const override { return header_.size; }
  Outcome<> map(std::uint64_t offset, std::uint64_t length, bool may_wait,
                Extents& extents) override;
  Outcome<> read_compressed(const Extent& extent, std::span<const iovec> buffers) override;
  /// Where a range can be written without a change to any table. EAGAIN if that needs the disk, a
  /// lock, or cannot be.
  Outcome<> map_in_place(std::uint64_t offset, std::uint64_t length, Extents& extents);

  Outcome<> write(std::uint64_t offset, std::span<const iovec> buffers);
  /// The range reads as zeroes afterwards; without `may_unmap` it keeps the place that it has.
  Outcome<> write_zeroes(std::uint64_t offset, std::uint64_t length, bool may_unmap);
  /// Whole clusters inside the range read as zeroes and lose their place, if the format can say so.
  Outcome<> discard(std::uint64_t offset, std::uint64_t length);
  /// What was written before is on the disk, tables included. In between, tables in the file are
  /// those of the last commit: a program that ends at any moment leaves them consistent.
  Outcome<> commit();
  /// The same for tables only: does nothing if none has changed.
  Outcome<> commit_if_changed();

 private:
  struct WritePlan;
  enum class Clearing : std::uint8_t { kDiscard, kZero, kZeroInPlace };

  Image(std::shared_ptr<ImageFile> file, const Header& header, std::shared_ptr<Layer> below,
        std::uint64_t file_size);

  std::uint64_t cluster_of(std::uint64_t offset) const { return offset >> header_.cluster_bits; }
  std::uint64_t within(std::uint64_t offset) const { return offset & (header_.cluster_size() - 1); }
  bool below_has(std::uint64_t guest) const;
  Outcome<> map_below(std::uint64_t offset, std::uint64_t length, bool may_wait, Extents& extents);
  Outcome<> map_locked(std::uint64_t offset, std::uint64_t length, bool may_wait, Extents& extents);

  Outcome<> try_write(std::uint64_t offset, std::span<const iovec> buffers);
  Outcome<bool> make_room(std::uint64_t before);
  void give_up(const ClusterRun& run);
  Outcome<WritePlan> plan_write(std::uint64_t offset, std::uint64_t length);
  Outcome<> plan_in_place(WritePlan& plan, std::uint64_t offset, std::uint64_t length);
  Outcome<> plan_new(WritePlan& plan, std::uint64_t offset, std::uint64_t length);
  Outcome<> fill_plan(const WritePlan& plan, std::uint64_t offset, std::span<const iovec> data);
  Outcome<> link_plan(const WritePlan& plan, std::uint64_t offset);
  Outcome<std::vector<std::uint8_t>> old_content(const WritePlan& plan, std::uint64_t offset,
                                                 std::uint64_t length);

  Outcome<> clear(std::uint64_t offset, std::uint64_t length, Clearing how);
  /// False: the format cannot say it, zeroes must be written.
  Outcome<bool> clear_cluster(std::uint64_t guest, Clearing how);
  /// Moves `guest` on to `end`, or as far as is good in one step; false as above.
  Outcome<bool> clear_clusters(std::uint64_t& guest, std::uint64_t end, Clearing how);
  Outcome<> zero_part(std::uint64_t offset, std::uint64_t length);
  Outcome<> write_zero_bytes(std::uint64_t offset, std::uint64_t length);

  /// Runs a step that may need a larger table of refcounts, with the lock of the tables.
  template <class Step>
  auto with_tables(Step step) -> decltype(step());
  Outcome<> grow_refcount_table();
  Outcome<> write_all(const MetadataWrites& writes);
  Outcome<> write_changes(const MetadataChanges& changes);
  void carry_out(std::span<const PendingRelease> releases);
  void write_refcounts_now();
  Outcome<> commit_if_crowded();

  const std::shared_ptr<ImageFile> file_;
  Header header_;
  const std::shared_ptr<Layer> below_;
  Decompressor decompressor_;
  std::mutex commit_mutex_;  ///< one writer of metadata at a time; taken before mutex_
  std::mutex mutex_;         ///< guards metadata_ and what changes of header_
  Metadata metadata_;
  std::atomic<std::uint64_t> times_given_back_ = 0;  ///< clusters, to whoever needs some
};

template <class Step>
auto Image::with_tables(Step step) -> decltype(step()) {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      auto result = step();
      if (result || result.error() != Allocator::needs_table()) return result;
    }
    TRY(grow_refcount_table());
  }
}

}  // namespace vireo::backends::qcow2
