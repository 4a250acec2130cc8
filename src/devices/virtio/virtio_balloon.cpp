#include "devices/virtio/virtio_balloon.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vireo::devices::virtio {

namespace {

std::uint32_t pages_of(std::uint64_t bytes) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(bytes / balloon::kPageBytes, 0xffffffff));
}

}  // namespace

VirtioBalloon::VirtioBalloon(memory::GuestMemory& memory, std::uint64_t wanted_bytes)
    : memory_(memory) {
  config_.wanted_pages = pages_of(wanted_bytes);
}

void VirtioBalloon::set_wanted(std::uint64_t bytes) {
  std::function<void()> tell;
  {
    const std::lock_guard lock(mutex_);
    config_.wanted_pages = pages_of(bytes);
    tell = config_changed_;
  }
  if (tell) tell();
}

std::uint64_t VirtioBalloon::wanted_bytes() const {
  const std::lock_guard lock(mutex_);
  return config_.wanted_pages * balloon::kPageBytes;
}

std::uint64_t VirtioBalloon::actual_bytes() const {
  const std::lock_guard lock(mutex_);
  return config_.actual_pages * balloon::kPageBytes;
}

std::uint64_t VirtioBalloon::discarded_bytes() const {
  const std::lock_guard lock(mutex_);
  return discarded_;
}

std::map<std::uint16_t, std::uint64_t> VirtioBalloon::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void VirtioBalloon::connect(std::function<void()> config_changed) {
  const std::lock_guard lock(mutex_);
  config_changed_ = std::move(config_changed);
}

void VirtioBalloon::read_config(std::uint64_t offset, std::span<std::byte> data) const {
  std::ranges::fill(data, std::byte{0});
  const std::lock_guard lock(mutex_);
  if (offset >= sizeof(config_)) return;
  const auto bytes = std::as_bytes(std::span(&config_, 1)).subspan(offset);
  std::memcpy(data.data(), bytes.data(), std::min(data.size(), bytes.size()));
}

/// The driver says how large it is.
void VirtioBalloon::write_config(std::uint64_t offset, std::span<const std::byte> data) {
  constexpr std::uint64_t kActual = offsetof(balloon::ConfigSpace, actual_pages);
  if (offset != kActual || data.size() != sizeof(config_.actual_pages)) return;
  const std::lock_guard lock(mutex_);
  std::memcpy(&config_.actual_pages, data.data(), data.size());
}

void VirtioBalloon::start(std::uint64_t features) {
  unsigned next = balloon::kDeflate + 1;
  statistics_queue_ = (features & balloon::kStatistics) != 0 ? next++ : 0;
  reporting_queue_ = (features & balloon::kPageReporting) != 0 ? next++ : 0;
}

void VirtioBalloon::drain() { return_statistics_buffer(); }

void VirtioBalloon::reset() {
  statistics_queue_ = reporting_queue_ = 0;
  const std::lock_guard lock(mutex_);
  config_.actual_pages = 0;
  statistics_.clear();
}

void VirtioBalloon::serve(Virtqueue& queue) {
  const unsigned index = queue.index();
  if (index == balloon::kInflate) return serve_inflate(queue);
  // What leaves the balloon is memory as any other, filled with zeroes when it is touched.
  if (index == balloon::kDeflate)
    return queue.serve([&](Chain& chain) { queue.give_back(chain, 0); });
  if (index == statistics_queue_) return serve_statistics(queue);
  if (index == reporting_queue_) return serve_reports(queue);
}

void VirtioBalloon::discard(std::uint64_t address, std::uint64_t size) {
  const std::uint64_t bytes = memory_.discard(PhysAddr{address}, size);
  const std::lock_guard lock(mutex_);
  discarded_ += bytes;
}

/// Numbers of pages, which no longer matter to the guest. Neighbours go together.
void VirtioBalloon::serve_inflate(Virtqueue& queue) {
  queue.serve([&](Chain& chain) {
    const std::uint64_t bytes = chain.readable_bytes();
    if (bytes % sizeof(std::uint32_t) != 0 || bytes / sizeof(std::uint32_t) > kMostPagesAtOnce)
      return queue.refuse({"a list of pages that is none, or too long"});
    pages_.resize(bytes / sizeof(std::uint32_t));
    if (!copy_from(memory_, chain.readable(), 0, std::as_writable_bytes(std::span(pages_))))
      return queue.refuse({"a list of pages outside memory"});
    std::ranges::sort(pages_);
    for (std::size_t i = 0; i < pages_.size();) {
      std::size_t end = i + 1;
      while (end < pages_.size() && pages_[end] - pages_[end - 1] <= 1) ++end;
      const std::uint64_t count = std::uint64_t{pages_[end - 1]} - pages_[i] + 1;
      discard(pages_[i] * balloon::kPageBytes, count * balloon::kPageBytes);
      i = end;
    }
    queue.give_back(chain, 0);
  });
}

/// Buffers that the guest has no use for now: it does not touch them until it has them back.
void VirtioBalloon::serve_reports(Virtqueue& queue) {
  queue.serve([&](Chain& chain) {
    for (const Buffer& buffer : chain.writable()) discard(value(buffer.address), buffer.length);
    queue.give_back(chain, 0);
  });
}

void VirtioBalloon::serve_statistics(Virtqueue& queue) {
  queue.serve([&](Chain& chain) {
    std::vector<std::byte> bytes(std::min<std::uint64_t>(
        chain.readable_bytes(), kMostStatistics * balloon::kStatisticBytes));
    if (!copy_from(memory_, chain.readable(), 0, bytes))
      return queue.refuse({"statistics outside memory"});
    std::map<std::uint16_t, std::uint64_t> latest;
    for (auto rest = std::span(std::as_const(bytes)); rest.size() >= balloon::kStatisticBytes;
         rest = rest.subspan(balloon::kStatisticBytes)) {
      std::uint16_t tag = 0;
      std::uint64_t count = 0;
      std::memcpy(&tag, rest.data(), sizeof(tag));
      std::memcpy(&count, rest.data() + sizeof(tag), sizeof(count));
      latest[tag] = count;
    }
    return_statistics_buffer();  // a driver has one; of several the last is kept
    const std::lock_guard lock(mutex_);
    statistics_ = std::move(latest);
    statistics_buffer_ = std::move(chain);
    statistics_owner_ = &queue;
  });
}

void VirtioBalloon::request_statistics() { return_statistics_buffer(); }

/// The driver fills it again, unless the queue has stopped.
void VirtioBalloon::return_statistics_buffer() {
  std::optional<Chain> buffer;
  Virtqueue* owner = nullptr;
  {
    const std::lock_guard lock(mutex_);
    buffer.swap(statistics_buffer_);
    owner = std::exchange(statistics_owner_, nullptr);
  }
  if (buffer) owner->give_back(*buffer, 0);
}

}  // namespace vireo::devices::virtio
