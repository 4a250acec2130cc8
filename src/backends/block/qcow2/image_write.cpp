#include <algorithm>
#include <cerrno>
#include <utility>

#include "backends/block/qcow2/image.h"

namespace vireo::backends::qcow2 {
namespace {

constexpr std::uint64_t kMostAtOnce = 4u << 20;  ///< bytes that one step gives a place

/// Whether what the cluster has cannot be written to: it has nothing, or shares it.
bool needs_new_place(const L2Entry& entry) { return !(entry.has_place() && entry.copied); }

bool lacks_room(std::error_code error) {
  return error == std::errc::no_space_on_device || error == std::errc::file_too_large ||
         error.value() == EDQUOT;
}

}  // namespace

/// One step of a write.
struct Image::WritePlan {
  bool in_place = false;     ///< the tables stay as they are
  bool keeps_place = false;  ///< the cluster was zero and has a place already
  std::uint64_t length = 0;  ///< bytes of the guest's data
  std::uint64_t offset = 0;  ///< in the file, of the first of these bytes
  ClusterRun run;            ///< unless in_place
};

/// What the guest has let go of makes room, but only once the tables in the file say so.
Outcome<> Image::write(std::uint64_t offset, std::span<const iovec> buffers) {
  while (true) {
    const std::uint64_t before = times_given_back_;
    const auto written = try_write(offset, buffers);
    if (written || !lacks_room(written.error())) return written;
    if (!TRY(make_room(before))) return written;
  }
}

/// Whether there may be more of it than when the count was `before`. Somebody else may be just
/// about to give it back.
Outcome<bool> Image::make_room(std::uint64_t before) {
  bool pending = false;
  {
    const std::lock_guard lock(mutex_);
    pending = metadata_.releases_any();
  }
  if (pending) TRY(commit());
  const std::lock_guard nobody_gives_back(commit_mutex_);
  return times_given_back_ != before;
}

Outcome<> Image::try_write(std::uint64_t offset, std::span<const iovec> buffers) {
  TRY(commit_if_crowded());
  const std::uint64_t total = total_length(buffers);
  for (std::uint64_t done = 0; done < total;) {
    const std::uint64_t at = offset + done;
    const WritePlan plan = TRY(with_tables([&] { return plan_write(at, total - done); }));
    const Iovecs data = slice(buffers, done, plan.length);
    done += plan.length;
    if (plan.in_place) {
      TRY(outcome(file_->write(plan.offset, data)));
      continue;
    }
    const auto filled = fill_plan(plan, at, data);
    if (!filled) {
      if (!plan.keeps_place) give_up(plan.run);
      return filled;
    }
    TRY(link_plan(plan, at));
  }
  return Unit{};
}

/// What was written of it before that failed is no use to anybody, and takes room.
void Image::give_up(const ClusterRun& run) {
  static_cast<void>(
      file_->discard(run.first << header_.cluster_bits, run.count << header_.cluster_bits));
  const std::lock_guard lock(mutex_);
  metadata_.allocator().abandon(run);
}

Outcome<Image::WritePlan> Image::plan_write(std::uint64_t offset, std::uint64_t length) {
  WritePlan plan;
  const L2Entry entry = TRY(metadata_.lookup(cluster_of(offset)));
  if (entry.kind == ClusterKind::kData && entry.copied) {
    TRY(plan_in_place(plan, offset, length));
  } else if (!needs_new_place(entry)) {
    plan.keeps_place = true;
    plan.run = {entry.offset >> header_.cluster_bits, 1};
    plan.length = std::min(length, header_.cluster_size() - within(offset));
    plan.offset = entry.offset + within(offset);
    TRY(metadata_.make_writable(cluster_of(offset)));
  } else {
    TRY(plan_new(plan, offset, length));
  }
  return plan;
}

Outcome<> Image::plan_in_place(WritePlan& plan, std::uint64_t offset, std::uint64_t length) {
  plan.in_place = true;
  while (plan.length < length) {
    const std::uint64_t at = offset + plan.length;
    const L2Entry entry = TRY(metadata_.lookup(cluster_of(at)));
    if (entry.kind != ClusterKind::kData || !entry.copied) break;
    const std::uint64_t there = entry.offset + within(at);
    if (plan.length == 0) plan.offset = there;
    if (there != plan.offset + plan.length) break;
    plan.length += std::min(length - plan.length, header_.cluster_size() - within(at));
  }
  return Unit{};
}

Outcome<> Image::plan_new(WritePlan& plan, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t first = cluster_of(offset);
  const std::uint64_t last = cluster_of(offset + length - 1);
  const std::uint64_t table_end = (first / header_.l2_entries() + 1) * header_.l2_entries();
  const std::uint64_t most = std::max<std::uint64_t>(1, kMostAtOnce >> header_.cluster_bits);
  const std::uint64_t end = std::min({last + 1, table_end, first + most});
  std::uint64_t count = 1;
  while (first + count < end && needs_new_place(TRY(metadata_.lookup(first + count)))) ++count;
  TRY(metadata_.make_writable(first));
  plan.run = TRY(metadata_.allocator().reserve(count));
  plan.offset = (plan.run.first << header_.cluster_bits) + within(offset);
  plan.length = std::min(length, (plan.run.count << header_.cluster_bits) - within(offset));
  return Unit{};
}

/// The bytes around the guest's that the new place must have: empty if it has them.
Outcome<std::vector<std::uint8_t>> Image::old_content(const WritePlan& plan, std::uint64_t offset,
                                                      std::uint64_t length) {
  std::vector<std::uint8_t> bytes(length);
  if (length == 0) return bytes;
  const std::uint64_t on_disk = offset < size() ? std::min(length, size() - offset) : 0;
  Extents extents;
  if (on_disk != 0) TRY(map(offset, on_disk, true, extents));
  const bool zero = std::all_of(extents.begin(), extents.end(), [](const Extent& extent) {
    return extent.kind == Extent::Kind::kZero;
  });
  if (zero && plan.run.reads_as_zero) return std::vector<std::uint8_t>();
  if (!zero) {
    const iovec buffer{bytes.data(), on_disk};
    TRY(read_extents(extents, std::span(&buffer, 1)));
  }
  return bytes;
}

Outcome<> Image::fill_plan(const WritePlan& plan, std::uint64_t offset,
                           std::span<const iovec> data) {
  const std::uint64_t end = offset + plan.length;
  const std::uint64_t behind = within(end) == 0 ? 0 : header_.cluster_size() - within(end);
  std::vector<std::uint8_t> head = TRY(old_content(plan, offset - within(offset), within(offset)));
  std::vector<std::uint8_t> tail = TRY(old_content(plan, end, behind));
  Iovecs all{{head.data(), head.size()}};
  all.insert(all.end(), data.begin(), data.end());
  all.push_back({tail.data(), tail.size()});
  return outcome(file_->write(plan.offset - head.size(), std::move(all)));
}

Outcome<> Image::link_plan(const WritePlan& plan, std::uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t guest = cluster_of(offset);
  for (std::uint64_t i = 0; i < plan.run.count; ++i) {
    const std::uint64_t cluster = plan.run.first + i;
    auto linked = metadata_.make_writable(guest + i);
    if (linked && !plan.keeps_place) linked = metadata_.allocator().use(cluster);
    if (!linked) {
      if (!plan.keeps_place) metadata_.allocator().abandon({cluster, plan.run.count - i});
      return linked;
    }
    TRY(metadata_.set_entry(guest + i, cluster << header_.cluster_bits | kCopied, false));
  }
  return Unit{};
}

}  // namespace vireo::backends::qcow2
