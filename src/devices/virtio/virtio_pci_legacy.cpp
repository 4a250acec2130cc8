#include <algorithm>
#include <array>
#include <cstring>

#include "bus/access_split.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_pci_layout.h"

// The registers of drivers from before 1.0. Virtual I/O Device 1.2, 4.1.4.10 and 2.7.2.
namespace vireo::devices::virtio {
namespace {

namespace reg = pci::legacy;

constexpr std::uint64_t kQueueAlignment = 4096;
constexpr unsigned kPageBits = 12;

}  // namespace

std::uint64_t VirtioPci::legacy_config() const {
  return msix_.enabled() ? reg::kConfigBehindVectors : reg::kConfig;
}

void VirtioPci::read_legacy(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  const std::uint64_t config = legacy_config();
  if (offset >= config) return device_.model().read_config(offset - config, data);
  const VirtioPciState now = transport();
  std::array<std::byte, reg::kConfigBehindVectors> image{};
  const auto put = [&image](std::uint64_t at, auto value) {
    std::memcpy(&image[at], &value, sizeof(value));
  };
  put(reg::kDeviceFeatures, static_cast<std::uint32_t>(device_.offered_features()));
  put(reg::kDriverFeatures, static_cast<std::uint32_t>(device_.driver_features()));
  if (now.queue_select < device_.queue_count()) {
    const QueueState queue = device_.queue(now.queue_select).state();
    put(reg::kQueuePage, static_cast<std::uint32_t>(queue.descriptors >> kPageBits));
    put(reg::kQueueSize, queue.size);
    put(reg::kQueueVector, now.queue_vectors.at(now.queue_select));
  }
  put(reg::kQueueSelect, now.queue_select);
  put(reg::kStatus, device_.status());
  put(reg::kConfigVector, now.config_vector);
  if (offset <= reg::kIsr && offset + data.size() > reg::kIsr) put(reg::kIsr, take_isr());
  std::memcpy(data.data(), &image[offset], std::min<std::size_t>(data.size(), config - offset));
}

void VirtioPci::write_legacy(std::uint64_t offset, std::span<const std::byte> data) {
  const std::uint64_t config = legacy_config();
  if (offset >= config) return device_.model().write_config(offset - config, data);
  const bool wide = offset <= reg::kQueuePage;
  const std::size_t expected = wide ? 4 : offset == reg::kStatus ? 1 : 2;
  if (data.size() == expected)
    write_legacy_register(offset, static_cast<std::uint32_t>(bus::to_number(data)));
}

void VirtioPci::write_legacy_register(std::uint64_t offset, std::uint32_t value) {
  switch (offset) {
    case reg::kDriverFeatures:
      return device_.set_driver_features(0, value);
    case reg::kQueuePage:
      return set_legacy_queue(value);
    case reg::kNotify:
      return notify(value);
    case reg::kStatus:
      return set_status(static_cast<std::uint8_t>(value));
    default:
      break;
  }
  const std::lock_guard lock(mutex_);
  if (offset == reg::kQueueSelect) state_.queue_select = static_cast<std::uint16_t>(value);
  if (offset == reg::kConfigVector) set_vector(state_.config_vector, value);
  if (offset == reg::kQueueVector && state_.queue_select < device_.queue_count())
    set_vector(state_.queue_vectors[state_.queue_select], value);
}

/// The driver gives the page where the queue begins; its parts follow one another.
void VirtioPci::set_legacy_queue(std::uint32_t page) {
  const auto index = selected();
  if (!index) return;
  device_.disable_queue(*index);
  if (page == 0) return;
  device_.configure_queue(*index, [&](QueueState& queue) {
    queue.descriptors = std::uint64_t{page} << kPageBits;
    queue.driver_area = queue.descriptors + std::uint64_t{queue.size} * 16;
    const std::uint64_t end = queue.driver_area + 6 + std::uint64_t{queue.size} * 2;
    queue.device_area = (end + kQueueAlignment - 1) & ~(kQueueAlignment - 1);
  });
  device_.enable_queue(*index);
}

}  // namespace vireo::devices::virtio
