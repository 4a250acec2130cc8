#include "devices/virtio/virtio_mmio.h"

#include <algorithm>
#include <utility>

#include "bus/access_split.h"

namespace vireo::devices::virtio {
namespace {

// Virtual I/O Device 1.2, table 4.1.
constexpr std::uint64_t kMagic = 0x000, kVersion = 0x004, kDeviceId = 0x008, kVendorId = 0x00c;
constexpr std::uint64_t kDeviceFeatures = 0x010, kDeviceFeatureSelect = 0x014;
constexpr std::uint64_t kDriverFeatures = 0x020, kDriverFeatureSelect = 0x024;
constexpr std::uint64_t kQueueSelect = 0x030, kQueueLargest = 0x034, kQueueSize = 0x038;
constexpr std::uint64_t kQueueReady = 0x044, kNotify = 0x050;
constexpr std::uint64_t kInterruptStatus = 0x060, kInterruptAcknowledge = 0x064, kStatus = 0x070;
constexpr std::uint64_t kDescriptors = 0x080, kDriverArea = 0x090, kDeviceArea = 0x0a0;
constexpr std::uint64_t kSharedMemoryFirst = 0x0b0, kSharedMemoryLast = 0x0bc;
constexpr std::uint64_t kConfig = 0x100;

constexpr std::uint32_t kMagicValue = 0x74726976, kVersionValue = 2, kVendorValue = 0x1af4;
constexpr std::uint32_t kQueueInterrupt = 1, kConfigInterrupt = 2;

void set_half(std::uint64_t& word, bool high, std::uint32_t value) {
  const unsigned shift = high ? 32 : 0;
  word = (word & ~(std::uint64_t{0xffffffff} << shift)) | std::uint64_t{value} << shift;
}

}  // namespace

VirtioMmio::VirtioMmio(VirtioModel& model, memory::GuestMemory& memory, bus::IrqLine& line,
                       VirtioDevice::Post post)
    : line_(line), device_(model, memory, *this, std::move(post)) {}

void VirtioMmio::queue_interrupt(unsigned) { raise(kQueueInterrupt); }
void VirtioMmio::config_interrupt() { raise(kConfigInterrupt); }

void VirtioMmio::raise(std::uint32_t bit) {
  const std::lock_guard lock(mutex_);
  state_.interrupt_status |= bit;
  line_.set_level(true);
}

VirtioMmioState VirtioMmio::transport() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::optional<unsigned> VirtioMmio::selected() const {
  const std::uint32_t index = transport().queue_select;
  if (index >= device_.queue_count()) return std::nullopt;
  return index;
}

void VirtioMmio::read(std::uint64_t offset, std::span<std::byte> data) {
  if (offset >= kConfig) return device_.model().read_config(offset - kConfig, data);
  std::ranges::fill(data, std::byte{0});
  if (data.size() == 4) bus::from_number(data, read_register(offset));
}

std::uint32_t VirtioMmio::read_register(std::uint64_t offset) const {
  const VirtioMmioState now = transport();
  switch (offset) {
    case kMagic:
      return kMagicValue;
    case kVersion:
      return kVersionValue;
    case kDeviceId:
      return device_.model().kind().id;
    case kVendorId:
      return kVendorValue;
    case kDeviceFeatures:
      if (now.device_feature_select > 1) return 0;
      return static_cast<std::uint32_t>(device_.offered_features() >>
                                        (32 * now.device_feature_select));
    case kQueueLargest: {
      const auto index = selected();
      return index ? device_.queue(*index).largest() : 0;
    }
    case kQueueReady: {
      const auto index = selected();
      return index ? device_.queue(*index).state().enabled : 0;
    }
    case kInterruptStatus:
      return now.interrupt_status;
    case kStatus:
      return device_.status();
    default:
      // A length of all ones says that there is no such region of shared memory.
      return offset >= kSharedMemoryFirst && offset <= kSharedMemoryLast ? 0xffffffff : 0;
  }
}

void VirtioMmio::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kConfig) return device_.model().write_config(offset - kConfig, data);
  if (data.size() == 4) write_register(offset, static_cast<std::uint32_t>(bus::to_number(data)));
}

void VirtioMmio::write_register(std::uint64_t offset, std::uint32_t value) {
  switch (offset) {
    case kDriverFeatures:
      return device_.set_driver_features(transport().driver_feature_select, value);
    case kNotify:
      if (value < device_.queue_count()) device_.notify(value);
      return;
    case kStatus:
      if (value == 0) return reset();
      return device_.set_status(static_cast<std::uint8_t>(value));
    case kDeviceFeatureSelect:
    case kDriverFeatureSelect:
    case kQueueSelect:
    case kInterruptAcknowledge:
      break;
    default:
      return write_queue(offset, value);
  }
  const std::lock_guard lock(mutex_);
  if (offset == kDeviceFeatureSelect) state_.device_feature_select = value;
  if (offset == kDriverFeatureSelect) state_.driver_feature_select = value;
  if (offset == kQueueSelect) state_.queue_select = value;
  if (offset == kInterruptAcknowledge) {
    state_.interrupt_status &= ~value;
    line_.set_level(state_.interrupt_status != 0);
  }
}

void VirtioMmio::write_queue(std::uint64_t offset, std::uint32_t value) {
  const auto index = selected();
  if (!index) return;
  if (offset == kQueueReady)
    return value == 1 ? device_.enable_queue(*index) : device_.disable_queue(*index);
  device_.configure_queue(*index, [&](QueueState& queue) {
    const bool high = offset % 8 != 0;
    switch (offset) {
      case kQueueSize:
        // What no queue can have is kept as such, and refused when the queue is made ready.
        queue.size = static_cast<std::uint16_t>(std::min(value, 0xffffu));
        break;
      case kDescriptors:
      case kDescriptors + 4:
        set_half(queue.descriptors, high, value);
        break;
      case kDriverArea:
      case kDriverArea + 4:
        set_half(queue.driver_area, high, value);
        break;
      case kDeviceArea:
      case kDeviceArea + 4:
        set_half(queue.device_area, high, value);
        break;
      default:
        break;
    }
  });
}

void VirtioMmio::reset() {
  device_.reset();
  const std::lock_guard lock(mutex_);
  state_ = {};
  line_.set_level(false);
}

VirtioMmio::State VirtioMmio::state() const { return {device_.state(), transport()}; }

Result<> VirtioMmio::restore(const State& state) {
  if (state.transport.interrupt_status > 3)
    return usage_error("the saved {} has impossible interrupts", device_.model().kind().name);
  TRY(device_.restore(state.device));
  const std::lock_guard lock(mutex_);
  state_ = state.transport;
  line_.set_level(state_.interrupt_status != 0);
  return {};
}

}  // namespace vireo::devices::virtio
