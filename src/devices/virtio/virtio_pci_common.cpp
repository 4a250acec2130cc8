#include <algorithm>
#include <cstring>

#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_pci_layout.h"

// The common configuration of drivers since 1.0. Virtual I/O Device 1.2, 4.1.4.3.
namespace vireo::devices::virtio {
namespace {

namespace reg = pci::common;

/// The registers as bytes: reading has no effects.
class Image {
 public:
  template <class T>
  void put(std::uint64_t offset, T value) {
    std::memcpy(&bytes_[offset], &value, sizeof(T));
  }
  void copy(std::uint64_t offset, std::span<std::byte> data) const {
    if (offset >= reg::kSize) return;
    std::memcpy(data.data(), &bytes_[offset],
                std::min<std::size_t>(data.size(), reg::kSize - offset));
  }

 private:
  std::array<std::byte, reg::kSize> bytes_{};
};

void set_half(std::uint64_t& word, bool high, std::uint32_t value) {
  const unsigned shift = high ? 32 : 0;
  word = (word & ~(std::uint64_t{0xffffffff} << shift)) | std::uint64_t{value} << shift;
}

std::uint32_t half_of(std::uint64_t features, std::uint32_t half) {
  return half < 2 ? static_cast<std::uint32_t>(features >> (32 * half)) : 0;
}

}  // namespace

void VirtioPci::read_common(std::uint64_t offset, std::span<std::byte> data) {
  const VirtioPciState now = transport();
  Image image;
  image.put(reg::kDeviceFeatureSelect, now.device_feature_select);
  image.put(reg::kDeviceFeature, half_of(device_.offered_features(), now.device_feature_select));
  image.put(reg::kDriverFeatureSelect, now.driver_feature_select);
  image.put(reg::kDriverFeature, half_of(device_.driver_features(), now.driver_feature_select));
  image.put(reg::kConfigVector, now.config_vector);
  image.put(reg::kQueueCount, static_cast<std::uint16_t>(device_.queue_count()));
  image.put(reg::kStatus, device_.status());
  image.put(reg::kQueueSelect, now.queue_select);
  if (now.queue_select < device_.queue_count()) {
    const QueueState queue = device_.queue(now.queue_select).state();
    image.put(reg::kQueueSize, queue.size);
    image.put(reg::kQueueVector, now.queue_vectors.at(now.queue_select));
    image.put(reg::kQueueEnable, std::uint16_t{queue.enabled});
    image.put(reg::kQueueNotifyOffset, now.queue_select);
    image.put(reg::kDescriptors, queue.descriptors);
    image.put(reg::kDriverArea, queue.driver_area);
    image.put(reg::kDeviceArea, queue.device_area);
  }
  image.copy(offset, data);
}

/// Registers are written whole, those of 64 bits in halves; what else comes is dropped.
void VirtioPci::write_common(std::uint64_t offset, std::uint32_t value, std::size_t size) {
  if (offset >= reg::kDescriptors) {
    if (size == 4) write_queue(offset, value);
    return;
  }
  const std::size_t expected = offset < reg::kConfigVector ? 4 : offset == reg::kStatus ? 1 : 2;
  if (size != expected) return;
  switch (offset) {
    case reg::kStatus:
      return set_status(static_cast<std::uint8_t>(value));
    case reg::kDriverFeature:
      return device_.set_driver_features(transport().driver_feature_select, value);
    case reg::kQueueSize:
    case reg::kQueueEnable:
      return write_queue(offset, value);
    default:
      break;
  }
  const std::lock_guard lock(mutex_);
  switch (offset) {
    case reg::kDeviceFeatureSelect:
      state_.device_feature_select = value;
      break;
    case reg::kDriverFeatureSelect:
      state_.driver_feature_select = value;
      break;
    case reg::kConfigVector:
      set_vector(state_.config_vector, value);
      break;
    case reg::kQueueSelect:
      state_.queue_select = static_cast<std::uint16_t>(value);
      break;
    case reg::kQueueVector:
      if (state_.queue_select < device_.queue_count())
        set_vector(state_.queue_vectors[state_.queue_select], value);
      break;
    default:
      break;
  }
}

void VirtioPci::write_queue(std::uint64_t offset, std::uint32_t value) {
  const auto index = selected();
  if (!index) return;
  if (offset == reg::kQueueEnable) {
    if (value == 1) device_.enable_queue(*index);
    return;
  }
  device_.configure_queue(*index, [&](QueueState& queue) {
    const bool high = offset % 8 != 0;
    switch (offset) {
      case reg::kQueueSize:
        queue.size = static_cast<std::uint16_t>(value);
        break;
      case reg::kDescriptors:
      case reg::kDescriptors + 4:
        set_half(queue.descriptors, high, value);
        break;
      case reg::kDriverArea:
      case reg::kDriverArea + 4:
        set_half(queue.driver_area, high, value);
        break;
      case reg::kDeviceArea:
      case reg::kDeviceArea + 4:
        set_half(queue.device_area, high, value);
        break;
      default:
        break;
    }
  });
}

}  // namespace vireo::devices::virtio
