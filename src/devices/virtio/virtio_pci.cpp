#include "devices/virtio/virtio_pci.h"

#include <algorithm>
#include <utility>

#include "bus/access_split.h"
#include "devices/virtio/virtio_pci_layout.h"

namespace vireo::devices::virtio {
namespace {

bus::PciIdentity identity_of(const VirtioKind& kind) {
  const bool transitional = kind.transitional_pci != 0;
  return {.vendor = pci::kVendor,
          .device = transitional ? kind.transitional_pci
                                 : static_cast<std::uint16_t>(pci::kFirstModernDevice + kind.id),
          .class_code = kind.pci_class,
          .revision = static_cast<std::uint8_t>(transitional ? 0 : 1),
          .subsystem_vendor = pci::kVendor,
          .subsystem = kind.id,
          .interrupt_pin = 1};
}

}  // namespace

VirtioPci::VirtioPci(VirtioModel& model, memory::GuestMemory& memory, bus::MsiSink& messages,
                     VirtioDevice::Post post)
    : PciDevice(identity_of(model.kind())),
      msix_(messages, model.queue_count() + 1, kMsixBar),
      access_(kModernBar, modern_, kModernSize),
      device_(model, memory, *this, std::move(post)) {
  const std::string name = model.kind().name;
  if (model.kind().transitional_pci != 0)
    define_bar(kLegacyBar, bus::BarKind::kIo, kLegacySize, legacy_, name + " legacy");
  define_bar(kMsixBar, bus::BarKind::kMemory32, Msix::kWindowSize, msix_.window(), name + " MSI-X");
  define_bar(kModernBar, bus::BarKind::kPrefetchable64, kModernSize, modern_, name);
  define_capability(msix_);
  define_region(pci::kCommonCapability, kCommon, pci::common::kSize, {});
  define_region(pci::kIsrCapability, kIsr, 1, {});
  define_region(pci::kConfigCapability, kConfig, kRegionSize, {});
  define_region(pci::kNotifyCapability, kNotify, kNotifyMultiplier * model.queue_count(),
                kNotifyMultiplier);
  define_capability(access_);
}

void VirtioPci::define_region(std::uint8_t type, std::uint64_t offset, std::uint64_t size,
                              std::optional<std::uint32_t> extra) {
  const unsigned bytes = extra ? 20 : 16;
  const unsigned at = define_capability(pci::kVendorCapability, bytes);
  define8(at + 2, static_cast<std::uint8_t>(bytes));
  define8(at + 3, type);
  define8(at + 4, kModernBar);
  define32(at + 8, static_cast<std::uint32_t>(offset));
  define32(at + 12, static_cast<std::uint32_t>(size));
  if (extra) define32(at + 16, *extra);
}

void VirtioPci::queue_interrupt(unsigned queue) {
  const VirtioPciState now = transport();
  raise(now.queue_vectors.at(queue), pci::kIsrQueue);
}

void VirtioPci::config_interrupt() { raise(transport().config_vector, pci::kIsrConfig); }

void VirtioPci::raise(std::uint16_t vector, std::uint8_t isr_bit) {
  if (msix_.enabled()) return msix_.send(vector);
  const std::lock_guard lock(mutex_);
  state_.isr |= isr_bit;
  set_intx(true);
}

/// Reading it ends the interrupt.
std::uint8_t VirtioPci::take_isr() {
  const std::lock_guard lock(mutex_);
  set_intx(false);
  return std::exchange(state_.isr, std::uint8_t{0});
}

void VirtioPci::on_config_written(unsigned, unsigned) {
  const std::lock_guard lock(mutex_);
  set_intx(state_.isr != 0 && !msix_.enabled());
}

void VirtioPci::on_reset() { set_status(0); }

VirtioPciState VirtioPci::transport() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void VirtioPci::set_status(std::uint8_t status) {
  device_.set_status(status);
  if (status != 0) return;
  const std::lock_guard lock(mutex_);
  state_ = {};
  set_intx(false);
}

void VirtioPci::set_vector(std::uint16_t& vector, std::uint32_t value) {
  vector = value < msix_.vectors() ? static_cast<std::uint16_t>(value) : VirtioPciState::kNoVector;
}

void VirtioPci::notify(std::uint64_t queue) {
  if (queue < device_.queue_count()) device_.notify(static_cast<unsigned>(queue));
}

std::optional<unsigned> VirtioPci::selected() const {
  const std::lock_guard lock(mutex_);
  if (state_.queue_select >= device_.queue_count()) return std::nullopt;
  return state_.queue_select;
}

void VirtioPci::read_modern(std::uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  const std::uint64_t inside = offset % kRegionSize;
  switch (offset - inside) {
    case kCommon:
      return read_common(inside, data);
    case kIsr:
      if (inside == 0) data[0] = std::byte{take_isr()};
      return;
    case kConfig:
      return device_.model().read_config(inside, data);
    default:
      return;  // notifications are written only
  }
}

void VirtioPci::write_modern(std::uint64_t offset, std::span<const std::byte> data) {
  const std::uint64_t inside = offset % kRegionSize;
  switch (offset - inside) {
    case kCommon: {
      const std::uint64_t value = bus::to_number(data);
      const std::size_t size = std::min<std::size_t>(data.size(), 4);
      write_common(inside, static_cast<std::uint32_t>(value), size);
      if (data.size() == 8) write_common(inside + 4, static_cast<std::uint32_t>(value >> 32), 4);
      return;
    }
    case kConfig:
      return device_.model().write_config(inside, data);
    case kNotify:
      return notify(inside / kNotifyMultiplier);
    default:
      return;
  }
}

VirtioPci::State VirtioPci::state() const { return {device_.state(), transport(), msix_.state()}; }

Result<> VirtioPci::restore(const State& state) {
  const auto possible = [&](std::uint16_t vector) {
    return vector < msix_.vectors() || vector == VirtioPciState::kNoVector;
  };
  bool good = possible(state.transport.config_vector) && state.transport.isr <= 3;
  for (const std::uint16_t vector : state.transport.queue_vectors) good &= possible(vector);
  if (!good)
    return usage_error("the saved {} has impossible interrupts", device_.model().kind().name);
  TRY(msix_.restore(state.msix));
  {
    const std::lock_guard lock(mutex_);
    state_ = state.transport;
  }
  return device_.restore(state.device);
}

}  // namespace vireo::devices::virtio
